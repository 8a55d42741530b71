use proptest::prelude::*;

use super::*;

const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;
const WEEK_NS: i64 = 7 * DAY_NS;
/// 2024-01-01, a Monday.
const MONDAY_NS: i64 = 1_704_067_200_000_000_000;
const BUCKET: &str = "0bf6ccd6884c2b99";

fn data(length_ns: i64) -> Data {
    let mut data = Data { max_shard_group_id: 40, max_shard_id: 70, ..Data::default() };
    data.add_database(BUCKET.into(), 0, length_ns);
    data
}

fn policy(data: &Data) -> &RetentionPolicyInfo {
    &data.databases[0].retention_policies[0]
}

fn groups_mut(data: &mut Data) -> &mut Vec<ShardGroupInfo> {
    &mut data.databases[0].retention_policies[0].shard_groups
}

/// Bounds of the groups in stored order.
fn bounds(data: &Data) -> Vec<(i64, i64)> {
    policy(data).shard_groups.iter().map(|group| (group.start_ns, group.end_ns)).collect()
}

#[test]
fn weeks_begin_on_monday_and_ids_go_on() {
    let mut data = data(WEEK_NS);
    assert!(cover(&mut data, (0, 0), MONDAY_NS + 3 * DAY_NS).unwrap());
    assert!(!cover(&mut data, (0, 0), MONDAY_NS).unwrap(), "the group is there");
    assert!(cover(&mut data, (0, 0), MONDAY_NS - 1).unwrap());
    assert_eq!(bounds(&data), [(MONDAY_NS - WEEK_NS, MONDAY_NS), (MONDAY_NS, MONDAY_NS + WEEK_NS)]);
    let ids: Vec<_> = policy(&data).shard_groups.iter().map(|group| (group.id, group.shards[0].id)).collect();
    assert_eq!(ids, [(42, 72), (41, 71)]);
    assert_eq!((data.max_shard_group_id, data.max_shard_id), (42, 72));
}

/// Both seen in a store of influxd 2.9.1.
#[test]
fn the_first_week_begins_before_64_bits_and_the_last_one_ends_with_them() {
    let mut data = data(WEEK_NS);
    for time_ns in [i64::MIN + 2, i64::MAX - 1] {
        assert!(cover(&mut data, (0, 0), time_ns).unwrap());
        assert!(!cover(&mut data, (0, 0), time_ns).unwrap());
    }
    let first = (9_223_284_873_709_551_616, -9_222_854_400_000_000_000);
    assert_eq!(bounds(&data), [first, (9_222_940_800_000_000_000, i64::MAX)]);
    assert_eq!(policy(&data).shard_groups[0].start().to_string(), "1677-09-20T00:00:00Z");
}

#[test]
fn a_new_group_gives_way_to_living_neighbours_on_both_sides() {
    let mut data = data(DAY_NS);
    for time_ns in [MONDAY_NS, MONDAY_NS + 2 * DAY_NS] {
        cover(&mut data, (0, 0), time_ns).unwrap();
    }
    // The retention was changed: groups are longer now.
    data.databases[0].retention_policies[0].shard_group_duration_ns = WEEK_NS;
    cover(&mut data, (0, 0), MONDAY_NS + DAY_NS + 1).unwrap();
    cover(&mut data, (0, 0), MONDAY_NS + 5 * DAY_NS).unwrap();
    let day = |n: i64| MONDAY_NS + n * DAY_NS;
    assert_eq!(bounds(&data), [(day(0), day(1)), (day(1), day(2)), (day(2), day(3)), (day(3), day(7))]);
}

#[test]
fn a_deleted_group_is_no_neighbour_and_a_truncated_one_is_one_up_to_there() {
    let mut data = data(DAY_NS);
    cover(&mut data, (0, 0), MONDAY_NS).unwrap();
    groups_mut(&mut data)[0].deleted_ns = 1;
    assert!(cover(&mut data, (0, 0), MONDAY_NS + 5).unwrap());
    let noon = MONDAY_NS + 12 * HOUR_NS;
    groups_mut(&mut data)[1].truncated_ns = Some(noon);
    assert!(!cover(&mut data, (0, 0), noon - 1).unwrap());
    assert!(cover(&mut data, (0, 0), noon).unwrap());
    assert_eq!(bounds(&data)[1..], [(MONDAY_NS, MONDAY_NS + DAY_NS), (noon, MONDAY_NS + DAY_NS)]);
    let map = ShardGroups::of(policy(&data));
    let shard = |time_ns| map.shard_at(time_ns).map(|shard| shard.0);
    assert_eq!((shard(MONDAY_NS - 1), shard(MONDAY_NS)), (None, Some(72)));
    assert_eq!((shard(noon - 1), shard(noon)), (Some(72), Some(73)));
}

/// From the first to the last time that a point can have.
#[test]
fn groups_of_an_hour_at_both_ends_of_time_are_disjoint() {
    let mut data = data(HOUR_NS);
    for time_ns in [i64::MIN, i64::MIN + HOUR_NS, i64::MAX - 1 - HOUR_NS, i64::MAX - 1, -1, 0] {
        cover(&mut data, (0, 0), time_ns).unwrap();
    }
    assert_sound(&data, &[i64::MIN, i64::MAX - 1, -1, 0]);
}

#[test]
fn groups_without_a_length_and_ids_at_their_end_are_refused_by_name() {
    let mut data = data(0);
    data.databases[0].retention_policies[0].shard_group_duration_ns = 0;
    let error = cover(&mut data, (0, 0), 0).unwrap_err().to_string();
    assert_eq!(error, "record \"meta.db\" in v1_tsm1_metadata of the key-value store: shard groups of 0 ns");
    let mut data = self::data(DAY_NS);
    data.max_shard_id = u64::MAX;
    assert!(cover(&mut data, (0, 0), 0).unwrap_err().to_string().ends_with("are at their end"));
    assert_eq!(bounds(&data), []);
}

#[test]
fn a_group_without_its_shard_takes_no_points_and_is_named() {
    let mut data = data(DAY_NS);
    cover(&mut data, (0, 0), 0).unwrap();
    groups_mut(&mut data)[0].shards.clear();
    let error = cover(&mut data, (0, 0), 0).unwrap_err().to_string();
    assert!(error.ends_with("shard group 41 has 0 shards and should have one"), "{error}");
    assert_eq!(ShardGroups::of(policy(&data)).slices(), []);
}

/// Living groups are disjoint, each holds its own times, and every time of `times` has a shard.
fn assert_sound(data: &Data, times: &[i64]) {
    let living: Vec<_> =
        policy(data).shard_groups.iter().filter(|group| group.deleted_at().is_none()).collect();
    let mut bounds: Vec<_> = living.iter().map(|group| (group.start(), group.end_of_writes())).collect();
    bounds.sort_unstable();
    assert!(bounds.iter().all(|(start, end)| start < end), "{bounds:?}");
    assert!(bounds.is_sorted_by(|left, right| left.1 <= right.0), "{bounds:?}");
    let map = ShardGroups::of(policy(data));
    for time_ns in times {
        let of_time: Vec<_> =
            living.iter().filter(|group| group.takes(*time_ns)).map(|g| g.shards[0].id).collect();
        assert_eq!(of_time.len(), 1, "{time_ns}");
        assert_eq!(map.shard_at(*time_ns).map(|shard| shard.0), of_time.first().copied());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Cover(i64),
    Length(i64),
    Delete(usize),
    Truncate(usize, u8),
}

fn time() -> impl Strategy<Value = i64> {
    // Near each other, so that groups meet; at both ends; anywhere.
    prop_oneof![
        4 => (0..40 * DAY_NS).prop_map(|ns| MONDAY_NS + ns),
        1 => (0..3 * WEEK_NS).prop_map(|ns| i64::MIN + ns),
        1 => (0..3 * WEEK_NS).prop_map(|ns| i64::MAX - 1 - ns),
        1 => -WEEK_NS..WEEK_NS,
        1 => i64::MIN..i64::MAX,
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![Just(HOUR_NS), Just(DAY_NS), Just(WEEK_NS), HOUR_NS..40 * DAY_NS, 1..i64::MAX];
    let step = prop_oneof![
        8 => time().prop_map(Step::Cover),
        2 => length.prop_map(Step::Length),
        1 => any::<usize>().prop_map(Step::Delete),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(at, part)| Step::Truncate(at, part)),
    ];
    prop::collection::vec(step, 1..40)
}

/// A group is cut at a part of its length, as an upgrade of 1.x can have left it.
fn truncate(group: &mut ShardGroupInfo, part: u8) {
    let (start, end) = (group.start().as_ns(), group.end_of_writes().as_ns());
    let at = start + (end - start) * i128::from(part) / 256;
    if at > start
        && at != 0
        && let Ok(at) = i64::try_from(at)
    {
        group.truncated_ns = Some(at);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn groups_stay_disjoint_and_every_time_is_covered(steps in steps()) {
        let mut data = data(WEEK_NS);
        let mut times = Vec::new();
        for step in steps {
            match step {
                Step::Cover(time_ns) => times.push(time_ns),
                Step::Length(ns) => data.databases[0].retention_policies[0].shard_group_duration_ns = ns,
                Step::Delete(at) => {
                    let count = groups_mut(&mut data).len().max(1);
                    groups_mut(&mut data).get_mut(at % count).into_iter().for_each(|group| group.deleted_ns = 1);
                }
                Step::Truncate(at, part) => {
                    let count = groups_mut(&mut data).len().max(1);
                    groups_mut(&mut data).get_mut(at % count).into_iter().for_each(|group| truncate(group, part));
                    groups_mut(&mut data).sort_by_key(|group| (group.end_of_writes(), group.start()));
                }
            }
            for time_ns in &times {
                cover(&mut data, (0, 0), *time_ns).unwrap();
            }
            assert_sound(&data, &times);
            let groups = &policy(&data).shard_groups;
            prop_assert!(groups.is_sorted_by_key(|group| (group.end_of_writes(), group.start())));
            let mut ids: Vec<_> = groups.iter().flat_map(|group| [group.id, group.shards[0].id + 1000]).collect();
            ids.sort_unstable();
            prop_assert!(ids.is_sorted_by(|left, right| left < right), "an id is given twice");
        }
    }

    /// Groups of a store may overlap; then the first in stored order takes the point.
    #[test]
    fn the_map_agrees_with_a_linear_search_over_any_groups(
        groups in prop::collection::vec((0_i64..60, 1_i64..30, 0_i64..12, 0_i64..40), 0..12),
    ) {
        let mut policy = RetentionPolicyInfo::default();
        for (at, (start, length, deleted, truncated)) in (1..).zip(groups) {
            policy.shard_groups.push(ShardGroupInfo {
                id: at,
                start_ns: start - 30,
                end_ns: start - 30 + length,
                deleted_ns: i64::from(deleted == 0),
                truncated_ns: Some(truncated - 20).filter(|ns| *ns > start - 30 && *ns < start - 30 + length),
                shards: vec![ShardInfo { id: at, ..ShardInfo::default() }],
            });
        }
        policy.shard_groups.sort_by_key(|group| (group.end_of_writes(), group.start()));
        let map = ShardGroups::of(&policy);
        prop_assert!(map.slices().is_sorted_by(|left, right| left.end_ns <= right.start_ns));
        for time_ns in -35..65 {
            let first = policy.shard_groups.iter().find(|group| group.takes(time_ns));
            prop_assert_eq!(map.shard_at(time_ns), first.and_then(ShardGroupInfo::only_shard));
        }
    }
}
