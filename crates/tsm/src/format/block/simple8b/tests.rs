use super::*;

fn selectors(values: &[u64], runs: Runs) -> Vec<u8> {
    let mut bytes = Vec::new();
    let list: Vec<u64> = std::iter::once(0).chain(values.iter().copied()).collect();
    encode(&list, |_, value| value, runs, &mut bytes);
    let (words, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty());
    assert_eq!(count(words), values.len());
    let mut back = vec![7; values.len()];
    decode(words, &mut back, |value| value);
    assert_eq!(back, values);
    let mut total = 0;
    for_each(words, |value| total += u128::from(value));
    assert_eq!(total, values.iter().map(|value| u128::from(*value)).sum());
    assert!(total <= reach(words));
    let has_zero = values.contains(&0);
    assert_eq!(sum(words), u64::try_from(total).ok().map(|total| (total, has_zero)));
    words.iter().map(|[head, ..]| head >> 4).collect()
}

fn ones(count: usize, then: &[u64]) -> Vec<u64> {
    let mut values = vec![1; count];
    values.extend_from_slice(then);
    values
}

#[test]
fn each_selector_holds_its_largest_values() {
    for (selector, (count, width)) in COUNTS.iter().zip(WIDTHS).enumerate().skip(2) {
        let largest = vec![(1 << width) - 1; usize::from(*count)];
        for runs in [Runs::Ahead, Runs::Window, Runs::Tail(0)] {
            let found = selectors(&largest, runs);
            assert_eq!(found, [u8::try_from(selector).unwrap()], "{count} values of {width} bits");
        }
    }
}

#[test]
fn a_tail_degrades_through_ever_smaller_words() {
    assert_eq!(selectors(&[0; 59], Runs::Ahead), [3, 4, 8, 15]);
    assert_eq!(selectors(&[MAX; 3], Runs::Ahead), [15, 15, 15]);
    assert_eq!(selectors(&[MAX; 17], Runs::Ahead), [15; 17]); // their sum passes 64 bits
    assert_eq!(selectors(&[], Runs::Ahead), [0; 0]);
}

#[test]
fn the_batch_encoder_sees_runs_that_end() {
    assert_eq!(selectors(&ones(240, &[7]), Runs::Ahead), [0, 15]);
    assert_eq!(selectors(&ones(239, &[7]), Runs::Ahead), [1, 2, 3, 4, 7]);
    assert_eq!(selectors(&ones(120, &[7]), Runs::Ahead), [1, 15]);
    assert_eq!(selectors(&ones(119, &[7]), Runs::Ahead), [2, 3, 4, 7]);
    assert_eq!(selectors(&ones(360, &[]), Runs::Ahead), [0, 1]);
    assert_eq!(selectors(&ones(119, &[]), Runs::Ahead), [2, 3, 4, 8, 15]);
}

#[test]
fn the_stream_encoder_of_times_sees_full_windows_of_ones() {
    assert_eq!(selectors(&ones(240, &[7]), Runs::Window), [0, 15]);
    assert_eq!(selectors(&ones(241, &[7]), Runs::Window), [0, 14]);
    assert_eq!(selectors(&ones(120, &[7]), Runs::Window), [2, 2, 15]);
    assert_eq!(selectors(&ones(360, &[]), Runs::Window), [0, 1]);
    assert_eq!(selectors(&ones(239, &[]), Runs::Window)[0], 1);
}

#[test]
fn the_stream_encoder_of_integers_sees_runs_up_to_the_end() {
    assert_eq!(selectors(&ones(240, &[7]), Runs::Tail(0)), [2, 2, 2, 2, 15]);
    let mut late = vec![7];
    late.extend(ones(361, &[]));
    assert_eq!(selectors(&late, Runs::Tail(361)), [4, 0, 2, 3, 6]);
}

#[test]
fn long_lists_pass_through_the_buffer_whole() {
    let values: Vec<u64> =
        (0..10_000u64).map(|index| index.wrapping_mul(0x9e37_79b9) % (1 << (index % 61))).collect();
    for runs in [Runs::Ahead, Runs::Window, Runs::Tail(0)] {
        selectors(&values, runs);
    }
}

#[test]
#[should_panic(expected = "compared with MAX")]
fn a_value_too_large_is_the_callers_fault() {
    encode(&[0, MAX + 1], |_, value| value, Runs::Ahead, &mut Vec::new());
}
