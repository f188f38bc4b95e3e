//! Plain loops, compiled for every instruction set and run with the best that the processor has.

use pulp::{Arch, NullaryFnOnce};

/// Runs a loop with the widest instructions that are there. Mark the closure `#[inline(always)]`, and whatever it calls: what is not inlined into
/// the function that may use them is compiled for every processor.
#[inline(always)]
pub fn wide<R>(work: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Loop(work))
}

struct Loop<F>(F);

impl<F: FnMut() -> R, R> NullaryFnOnce for Loop<F> {
    type Output = R;

    /// Called by reference: a closure that is called by value goes through a function of its own, which is not inlined.
    #[inline(always)]
    fn call(mut self) -> R {
        (self.0)()
    }
}
