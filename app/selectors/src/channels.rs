//! What the view of channels shows: importance opened into the output features of a module, layer by layer.

use cruxscope_study::{Behaviour, ChannelMaps, Component, Module};

use super::format;

/// A channel of the selected component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelLine {
    /// The channel, from 0.
    pub channel: usize,
    /// Its value, with its sign.
    pub value: f64,
    /// Its size as a share of the sizes of all channels.
    pub share: f64,
}

/// A module's map for a behaviour, `[layer, channel]`; empty where the study has none.
pub fn values(maps: &ChannelMaps, behaviour: Behaviour, module: Module) -> &[f32] {
    let of_behaviour = maps.values.get(behaviour.index());
    of_behaviour.and_then(|modules| modules.get(module.index())).map_or(&[], Vec::as_slice)
}

/// The channels of a component that carry most, the largest first.
pub fn largest(maps: &ChannelMaps, behaviour: Behaviour, component: Component, most: usize) -> Vec<ChannelLine> {
    let values = maps.of(behaviour, component.layer.0, component.module).unwrap_or_default();
    let all: f64 = values.iter().map(|value| f64::from(value.abs())).filter(|size| size.is_finite()).sum();
    let mut order: Vec<usize> = (0..values.len()).filter(|channel| values[*channel].is_finite()).collect();
    order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()).then(a.cmp(b)));
    let line = |channel: usize| ChannelLine {
        channel,
        value: f64::from(values[channel]),
        share: if all > 0.0 { f64::from(values[channel].abs()) / all } else { 0.0 },
    };
    order.into_iter().take(most).map(line).collect()
}

/// The channels of a component in their order: the first of them, and how many carry half.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The channels that carry most, the largest first.
    pub lines: Vec<ChannelLine>,
    /// How many channels together carry half of a component's importance, by size.
    pub half: Option<usize>,
    /// Number of channels.
    pub of: usize,
}

impl Ranked {
    /// Of a component; at most so many lines.
    pub fn of(maps: &ChannelMaps, behaviour: Behaviour, component: Component, most: usize) -> Self {
        let of = maps.channels[component.module.index()];
        let mut lines = largest(maps, behaviour, component, of);
        let mut sum = 0.0;
        let reaches = |line: &ChannelLine| {
            sum += line.share;
            sum >= 0.5
        };
        let half = lines.iter().position(reaches).map(|at| at + 1);
        lines.truncate(most);
        Self { lines, half, of }
    }
}

/// What a place of the map says: one channel, or the largest of several, its share of its component and its rank in it.
pub fn sentence(maps: &ChannelMaps, behaviour: Behaviour, component: Component, channel: usize, cells: usize) -> String {
    let values = maps.of(behaviour, component.layer.0, component.module).unwrap_or_default();
    let value = values.get(channel).copied().unwrap_or(f32::NAN);
    let sizes = || values.iter().map(|value| value.abs()).filter(|size| size.is_finite());
    let all: f64 = sizes().map(f64::from).sum();
    let share = if all > 0.0 { f64::from(value.abs()) / all } else { 0.0 };
    let rank = 1 + sizes().filter(|size| *size > value.abs()).count();
    let among = if cells > 1 {
        format!("; the largest of {} channels that share this place", format::count(cells))
    } else {
        String::new()
    };
    format!(
        "{component}, channel {}: {}, {} of the component, rank {} of {}{among}",
        format::count(channel + 1),
        format::signed(f64::from(value)),
        format::percent(share),
        format::count(rank),
        format::count(values.len())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps() -> ChannelMaps {
        let channels = [4, 2, 2, 4, 6, 6, 4];
        let values = (0..4)
            .map(|_| {
                channels
                    .iter()
                    .map(|width| (0..2 * width).map(|index| if index == 1 { -3.0 } else { 0.5 }).collect())
                    .collect()
            })
            .collect();
        ChannelMaps {
            channels,
            values,
            parts: Vec::new(),
        }
    }

    #[test]
    fn the_largest_channels_come_first_whatever_their_sign() {
        let maps = maps();
        let lines = largest(&maps, Behaviour::Backtracking, Component::new(0, Module::Query), 2);
        assert_eq!((lines[0].channel, lines[0].value), (1, -3.0));
        assert!((lines[0].share - 3.0 / 4.5).abs() < 1e-9);
        let ranked = Ranked::of(&maps, Behaviour::Backtracking, Component::new(0, Module::Query), 2);
        assert_eq!((ranked.lines, ranked.half, ranked.of), (lines, Some(1), 4));
        assert_eq!(largest(&maps, Behaviour::Backtracking, Component::new(9, Module::Query), 2), []);
        assert_eq!(values(&maps, Behaviour::Backtracking, Module::Gate).len(), 12);
    }

    #[test]
    fn a_shared_place_says_so() {
        let (maps, component) = (maps(), Component::new(0, Module::Query));
        let said = sentence(&maps, Behaviour::Backtracking, component, 1, 1);
        assert_eq!(said, "1_q, channel 2: −3.00, 66.67\u{a0}% of the component, rank 1 of 4");
        let said = sentence(&maps, Behaviour::Backtracking, component, 0, 28);
        assert!(said.contains("rank 2 of 4; the largest of 28 channels that share this place"), "{said}");
        // A layer that is not there is no panic.
        sentence(&maps, Behaviour::Backtracking, Component::new(9, Module::Query), 0, 1);
    }
}
