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

/// How many channels together carry half of a component's importance, by size.
pub fn half(maps: &ChannelMaps, behaviour: Behaviour, component: Component) -> Option<usize> {
    let width = maps.channels[component.module.index()];
    let mut sum = 0.0;
    let lines = largest(maps, behaviour, component, width);
    lines
        .iter()
        .position(|line| {
            sum += line.share;
            sum >= 0.5
        })
        .map(|at| at + 1)
}

/// What a place of the map says: one cell, or the largest of several.
pub fn sentence(component: Component, channel: usize, value: f32, block: [usize; 2]) -> String {
    let value = format::signed(f64::from(value));
    let cells = block[0] * block[1];
    let among = if cells > 1 {
        format!(", the largest of {} channels that share this place", format::count(cells))
    } else {
        String::new()
    };
    format!("{component}, channel {}: {value}{among}", format::count(channel + 1))
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
        ChannelMaps { channels, values }
    }

    #[test]
    fn the_largest_channels_come_first_whatever_their_sign() {
        let maps = maps();
        let lines = largest(&maps, Behaviour::Backtracking, Component::new(0, Module::Query), 2);
        assert_eq!((lines[0].channel, lines[0].value), (1, -3.0));
        assert!((lines[0].share - 3.0 / 4.5).abs() < 1e-9);
        assert_eq!(half(&maps, Behaviour::Backtracking, Component::new(0, Module::Query)), Some(1));
        assert_eq!(largest(&maps, Behaviour::Backtracking, Component::new(9, Module::Query), 2), []);
        assert_eq!(values(&maps, Behaviour::Backtracking, Module::Gate).len(), 12);
    }

    #[test]
    fn a_shared_place_says_so() {
        let component = Component::new(29, Module::Gate);
        assert_eq!(sentence(component, 1203, -0.0031, [1, 1]), "30_gate, channel 1,204: −0.00310");
        assert!(sentence(component, 0, 0.5, [1, 28]).ends_with("the largest of 28 channels that share this place"));
    }
}
