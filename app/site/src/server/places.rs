//! The places at which connections are answered: so many at once, and nobody can hold one by saying nothing.
//!
//! A place is given back when its connection ends, in whatever way. When all are taken, the connection that has waited longest for the
//! end of its own request makes room, or else the one that has been answered longest, if that was not just now.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer is left in peace; over loopback most are done in a hundredth of that.
const PEACE: Duration = Duration::from_secs(2);

/// All places.
pub struct Places {
    most: usize,
    taken: Mutex<Vec<Taken>>,
}

/// A place that is taken.
struct Taken {
    number: u64,
    stream: Option<TcpStream>,
    /// Whether its request has not come whole.
    asking: bool,
    since: Instant,
}

/// A place, given back when it is dropped.
pub struct Place {
    places: Arc<Places>,
    number: u64,
}

impl Places {
    /// So many places.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A place for a connection that is about to ask; `number` tells connections apart, later ones higher. Nothing where all are taken by
    /// connections whose answers began just now.
    pub fn take(self: &Arc<Self>, number: u64, stream: &TcpStream) -> Option<Place> {
        let mut taken = self.locked();
        if taken.len() >= self.most {
            // In the order in which they came.
            let slowest = taken.iter().position(|place| place.asking);
            let slowest = slowest.or_else(|| taken.iter().position(|place| place.since.elapsed() > PEACE))?;
            if let Some(stream) = taken.remove(slowest).stream {
                stream.shutdown(Shutdown::Both).ok();
            }
        }
        taken.push(Taken {
            number,
            stream: stream.try_clone().ok(),
            asking: true,
            since: Instant::now(),
        });
        Some(Place {
            places: Arc::clone(self),
            number,
        })
    }

    /// A lock that outlives a panic of whoever held it: every change under it is whole.
    fn locked(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The request has come whole: from here on the connection is being answered.
    pub fn asked(&self) {
        if let Some(place) = self.places.locked().iter_mut().find(|place| place.number == self.number) {
            place.asking = false;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.locked().retain(|place| place.number != self.number);
    }
}
