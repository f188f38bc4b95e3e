//! Which shard computes what: the longest processing time first (LPT), each to the shard that has least so far.

/// The places of each shard's instances, in ascending order; no shard is empty while there are as many instances as shards.
/// (Graham 1969: no shard has more than 4/3 of the best possible.)
pub fn balance(costs: &[f64], shards: usize) -> Vec<Vec<usize>> {
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
        assert_eq!(balance(&[1.0, 9.0, 2.0, 8.0], 2), [vec![0, 1], vec![2, 3]]);
        assert_eq!(balance(&[0.0, 0.0, 0.0], 3), [vec![0], vec![1], vec![2]]);
    }

    proptest! {
        #[test]
        fn every_shard_has_work(costs in prop::collection::vec(0.0..100.0_f64, 1..60), shards in 1_usize..9) {
            let members = balance(&costs, shards);
            let mut all: Vec<usize> = members.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..costs.len()).collect::<Vec<_>>());
            prop_assert!(costs.len() < shards || members.iter().all(|shard| !shard.is_empty()));
        }

        /// Against the best of all ways to share a few instances, tried one by one.
        #[test]
        fn no_shard_has_more_than_four_thirds_of_the_best(costs in prop::collection::vec(0.0..100.0_f64, 1..8), shards in 1_usize..4) {
            let heaviest = |of: &dyn Fn(usize) -> usize| {
                let mut loads = vec![0.0; shards];
                (0..costs.len()).for_each(|place| loads[of(place)] += costs[place]);
                loads.into_iter().fold(0.0, f64::max)
            };
            let best = (0..shards.pow(costs.len() as u32))
                .map(|way| heaviest(&|place| way / shards.pow(place as u32) % shards))
                .fold(f64::INFINITY, f64::min);
            let members = balance(&costs, shards);
            let found = heaviest(&|place| members.iter().position(|shard| shard.contains(&place)).unwrap());
            prop_assert!(found <= 4.0 / 3.0 * best + 1e-9, "{found} {best}");
        }
    }
}
