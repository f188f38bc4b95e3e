//! Who computes what: the longest work first, each to the shard that has least so far.

/// The places of each shard's instances, in ascending order; no shard is empty while there are as many instances as shards.
/// (Graham 1969: no shard has more than 4/3 of the best possible.)
pub fn spread(costs: &[f64], shards: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by(|a, b| costs[*b].total_cmp(&costs[*a]).then(a.cmp(b)));
    let mut members = vec![Vec::new(); shards];
    let mut loads = vec![0.0_f64; shards];
    for place in order {
        let lightest = (0..shards).min_by(|a, b| loads[*a].total_cmp(&loads[*b]).then(members[*a].len().cmp(&members[*b].len())));
        if let Some(lightest) = lightest {
            loads[lightest] += costs[place];
            members[lightest].push(place);
        }
    }
    for shard in &mut members {
        shard.sort_unstable();
    }
    members
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_are_parted() {
        assert_eq!(spread(&[1.0, 9.0, 2.0, 8.0], 2), [vec![0, 1], vec![2, 3]]);
        assert_eq!(spread(&[0.0, 0.0, 0.0], 3), [vec![0], vec![1], vec![2]]);
    }

    proptest! {
        #[test]
        fn everyone_has_work_and_nobody_too_much(costs in prop::collection::vec(0.0..100.0_f64, 1..60), shards in 1_usize..9) {
            let members = spread(&costs, shards);
            let mut all: Vec<usize> = members.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..costs.len()).collect::<Vec<_>>());
            prop_assert!(costs.len() < shards || members.iter().all(|shard| !shard.is_empty()));
            let load = |shard: &Vec<usize>| shard.iter().map(|place| costs[*place]).sum::<f64>();
            let heaviest = members.iter().map(load).fold(0.0, f64::max);
            let least = (costs.iter().sum::<f64>() / shards as f64).max(costs.iter().copied().fold(0.0, f64::max));
            prop_assert!(heaviest <= 4.0 / 3.0 * least + least + 1e-9);
        }
    }
}
