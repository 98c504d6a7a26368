//! Tests of the calculator; those of the histogram stand beside it.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

fn recorded(start_ns: u64, times_ns: &[u64]) -> StreamMetrics {
    let mut metrics = StreamMetrics::default();
    metrics.start(start_ns);
    for time in times_ns {
        metrics.record_chunk(10, *time);
    }
    metrics
}

fn from_intervals(intervals: &[u64]) -> StreamMetrics {
    let mut metrics = recorded(0, &[0]);
    let mut now = 0;
    for interval in intervals {
        now += interval;
        metrics.record_chunk(1, now);
    }
    metrics
}

#[test]
fn both_directions_of_a_call_take_at_most_6_kib() {
    let one = size_of::<StreamMetrics>() + size_of::<Histogram>();
    assert!(2 * one <= 6 * 1024, "{one} bytes a direction");
}

#[test]
fn without_chunks_there_are_no_times() {
    let mut metrics = recorded(5, &[]);
    metrics.finish(Outcome::Complete, 9);
    let summary = metrics.summary();
    assert_eq!(
        (summary.chunks, summary.bytes, summary.intervals),
        (0, 0, 0)
    );
    assert_eq!(
        (
            summary.time_to_first_chunk_ns,
            summary.time_to_last_chunk_ns
        ),
        (None, None)
    );
    assert_eq!(
        (
            summary.rate,
            summary.interval_avg_ns,
            summary.interval_p99_ns
        ),
        (None, None, None)
    );
    assert_eq!(
        (summary.duration_ns, summary.outcome),
        (Some(4), Some(Outcome::Complete))
    );
}

#[test]
fn with_one_chunk_first_equals_last_and_there_is_no_interval() {
    let summary = recorded(100, &[150]).summary();
    assert_eq!(
        (
            summary.time_to_first_chunk_ns,
            summary.time_to_last_chunk_ns
        ),
        (Some(50), Some(50))
    );
    assert_eq!((summary.rate, summary.interval_min_ns), (None, None));
    assert_eq!(summary.outcome, None, "it has not ended");
}

#[test]
fn a_stream_of_one_chunk_allocates_no_histogram() {
    assert!(recorded(0, &[1]).histogram().is_none());
    assert!(recorded(0, &[1, 2]).histogram().is_some());
}

#[test]
fn times_rate_and_intervals_follow_the_clock() {
    let summary = recorded(1000 * MS, &[1100 * MS, 1200 * MS, 1600 * MS]).summary();
    assert_eq!(summary.time_to_first_chunk_ns, Some(100 * MS));
    assert_eq!(summary.time_to_last_chunk_ns, Some(600 * MS));
    assert_eq!(summary.rate, Some(4.0));
    assert_eq!(summary.interval_avg_ns, Some(250e6));
    assert_eq!(
        (summary.interval_min_ns, summary.interval_max_ns),
        (Some(100 * MS), Some(400 * MS))
    );
}

#[test]
fn rate_is_absent_when_all_chunks_come_at_once() {
    let summary = recorded(0, &[7, 7, 7]).summary();
    assert_eq!((summary.rate, summary.interval_p50_ns), (None, Some(0.0)));
}

#[test]
fn without_a_start_there_are_no_times_but_intervals() {
    let mut metrics = StreamMetrics::default();
    metrics.record_chunk(1, 50);
    metrics.start(60);
    metrics.record_chunk(1, 90);
    let summary = metrics.summary();
    assert_eq!(
        (summary.time_to_first_chunk_ns, summary.interval_max_ns),
        (None, Some(40))
    );
    assert_eq!(metrics.clock_back(), 0);
}

#[test]
fn a_clock_that_steps_back_gives_interval_zero_and_the_latest_time_stays() {
    let metrics = recorded(0, &[10 * MS, 20 * MS, 5 * MS, 25 * MS]);
    let summary = metrics.summary();
    assert_eq!(metrics.clock_back(), 1);
    assert_eq!(
        (summary.interval_min_ns, summary.interval_max_ns),
        (Some(0), Some(10 * MS))
    );
    assert_eq!(summary.time_to_last_chunk_ns, Some(25 * MS));
}

#[test]
fn a_reading_before_the_start_is_the_start_and_counted() {
    let metrics = recorded(100, &[40, 130]);
    let summary = metrics.summary();
    assert_eq!(
        (metrics.clock_back(), summary.time_to_first_chunk_ns),
        (1, Some(0))
    );
    assert_eq!(summary.interval_max_ns, Some(30));
}

#[test]
fn a_stall_is_over_the_threshold_and_over_five_times_the_average() {
    let stalls = |intervals_ms: &[u64]| -> Vec<u64> {
        let mut metrics = recorded(0, &[0]);
        let mut now = 0;
        let mut found = Vec::new();
        for interval in intervals_ms {
            now += interval * MS;
            found.extend(metrics.record_chunk(1, now).map(|stall| stall.chunk));
        }
        assert_eq!(metrics.summary().stalls, found.len() as u64);
        found
    };
    assert_eq!(stalls(&[100, 100, 1001]), [3]);
    assert_eq!(
        stalls(&[100, 100, 1000]),
        [] as [u64; 0],
        "not more than the threshold"
    );
    assert_eq!(
        stalls(&[400, 400, 2000]),
        [] as [u64; 0],
        "not more than 5 times the average"
    );
    assert_eq!(stalls(&[400, 400, 2001]), [3]);
    assert_eq!(
        stalls(&[1001]),
        [1],
        "without earlier intervals the threshold decides"
    );
    assert_eq!(
        stalls(&[1001, 1001]),
        [1],
        "a stall counts in the average of later ones"
    );
}

#[test]
fn the_stall_time_sums_whole_intervals() {
    let mut metrics = recorded(0, &[0, 10 * MS, 20 * MS]);
    let stall = metrics.record_chunk(1, 2020 * MS).unwrap();
    assert_eq!(
        (stall.at_ns, stall.interval_ns, stall.chunk),
        (2020 * MS, 2000 * MS, 3)
    );
    metrics.record_chunk(1, 6020 * MS).unwrap();
    assert_eq!(metrics.summary().stall_time_ns, 6000 * MS);
}

#[test]
fn empty_first_chunks_are_skipped_by_option_only() {
    let mut metrics = recorded(0, &[]);
    metrics.record_chunk(0, 5);
    assert_eq!(metrics.chunks(), 1);
    let options = StreamMetricsOptions {
        skip_empty_first: true,
        ..Default::default()
    };
    let mut metrics = StreamMetrics::new(options);
    metrics.start(0);
    metrics.record_chunk(0, 5);
    assert_eq!(metrics.chunks(), 0);
    metrics.record_chunk(3, 8);
    metrics.record_chunk(0, 9);
    let summary = metrics.summary();
    assert_eq!(
        (summary.chunks, summary.time_to_first_chunk_ns),
        (2, Some(8))
    );
}

#[test]
fn the_first_end_stands_and_nothing_is_recorded_after_it() {
    let mut metrics = recorded(0, &[1]);
    metrics.finish(Outcome::Complete, 2);
    metrics.finish(Outcome::Error, 3);
    assert_eq!(metrics.record_chunk(1, 4), None);
    let summary = metrics.summary();
    assert_eq!(
        (summary.outcome, summary.chunks),
        (Some(Outcome::Complete), 1)
    );
    assert_eq!(summary.duration_ns, Some(2));
}

#[test]
fn a_merge_has_no_times_rate_or_outcome() {
    let mut merged = recorded(0, &[10, 20]);
    let mut other = recorded(0, &[5, 6, 2000 * MS]);
    other.finish(Outcome::Complete, 2000 * MS);
    merged.merge(&other);
    let summary = merged.summary();
    assert_eq!(
        (summary.chunks, summary.bytes, summary.intervals),
        (5, 50, 3)
    );
    assert_eq!(
        (summary.interval_min_ns, summary.interval_max_ns),
        (Some(1), Some(2000 * MS - 6))
    );
    assert_eq!(summary.stalls, 1);
    assert_eq!(
        (
            summary.time_to_first_chunk_ns,
            summary.time_to_last_chunk_ns
        ),
        (None, None)
    );
    assert_eq!(
        (summary.rate, summary.outcome, summary.duration_ns),
        (None, None, None)
    );
}

#[test]
fn merging_with_nothing_changes_no_interval() {
    let mut merged = StreamMetrics::default();
    merged.merge(&recorded(0, &[10, 20]));
    merged.merge(&StreamMetrics::default());
    let summary = merged.summary();
    assert_eq!(
        (summary.interval_min_ns, summary.interval_max_ns),
        (Some(10), Some(10))
    );
    assert_eq!(summary.chunks, 2);
}

#[test]
fn sums_do_not_overflow() {
    let mut metrics = recorded(0, &[0]);
    metrics.record_chunk(u64::MAX, u64::MAX);
    metrics.record_chunk(u64::MAX, u64::MAX);
    let mut merged = metrics.clone();
    merged.merge(&metrics);
    merged.merge(&metrics);
    let summary = merged.summary();
    assert_eq!((summary.bytes, summary.stall_time_ns), (u64::MAX, u64::MAX));
    assert_eq!(summary.interval_avg_ns, Some(u64::MAX as f64 / 2.0));
}

#[test]
fn attributes_are_in_seconds_and_leave_out_what_is_absent() {
    let summary = recorded(0, &[500 * MS, 750 * MS]).summary();
    let attributes = summary.attributes(Direction::Received);
    assert_eq!(
        attributes[0],
        ("websocket.stream.received.chunks", MetricValue::Count(2))
    );
    assert!(attributes.contains(&(
        "websocket.stream.received.time_to_first_chunk",
        MetricValue::Float(0.5)
    )));
    assert!(attributes.contains(&(
        "websocket.stream.received.interval.p50",
        MetricValue::Float(0.25)
    )));
    assert_eq!(attributes.len(), 14);
    let names: Vec<&str> = recorded(0, &[1])
        .summary()
        .attributes(Direction::Sent)
        .iter()
        .map(|(name, _)| *name)
        .collect();
    let expected = [
        "chunks",
        "bytes",
        "time_to_first_chunk",
        "time_to_last_chunk",
        "stalls",
        "stall_time",
    ];
    assert_eq!(
        names,
        expected.map(|name| format!("websocket.stream.sent.{name}"))
    );
}

/// Nearest rank over all values.
fn exact_percentile(sorted: &[u64], percent: u64) -> u64 {
    let rank = (sorted.len() as u64 * percent).div_ceil(100).max(1);
    sorted[rank as usize - 1]
}

fn check_percentiles(summary: &Summary, mut intervals: Vec<u64>) -> Result<(), TestCaseError> {
    intervals.sort_unstable();
    let measured = [
        (50, summary.interval_p50_ns),
        (90, summary.interval_p90_ns),
        (95, summary.interval_p95_ns),
        (99, summary.interval_p99_ns),
    ];
    for (percent, value) in measured {
        let exact = exact_percentile(&intervals, percent) as f64;
        let value = value.unwrap();
        let error = (value - exact).abs();
        prop_assert!(
            error <= exact * summary.relative_error * (1.0 + 1e-9),
            "p{percent}: {value} for {exact}"
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn percentiles_are_within_the_stated_error(
        intervals in prop::collection::vec(prop_oneof![0_u64..50, 0_u64..5_000_000_000, 0_u64..1 << 54], 1..300),
    ) {
        let summary = from_intervals(&intervals).summary();
        check_percentiles(&summary, intervals)?;
    }

    #[test]
    fn over_a_million_to_one_the_error_is_at_most_1_1_percent(
        lowest in 1_u64..1 << 30,
        factors in prop::collection::vec(1_u64..=1_000_000, 1..300),
    ) {
        let intervals: Vec<u64> = factors.iter().map(|factor| lowest * factor).collect();
        let summary = from_intervals(&intervals).summary();
        prop_assert!(summary.relative_error <= 0.011);
        check_percentiles(&summary, intervals)?;
    }

    #[test]
    fn a_merge_equals_one_calculator_that_saw_all(
        first in prop::collection::vec(0_u64..1 << 40, 0..80),
        second in prop::collection::vec(prop_oneof![0_u64..100, 0_u64..1 << 56], 0..80),
    ) {
        let mut merged = from_intervals(&first);
        merged.merge(&from_intervals(&second));
        let all: Vec<u64> = first.iter().chain(&second).copied().collect();
        let (merged, all) = (merged.summary(), from_intervals(&all).summary());
        prop_assert_eq!(merged.chunks, all.chunks + 1);
        prop_assert_eq!(merged.intervals, all.intervals);
        prop_assert_eq!(merged.interval_avg_ns, all.interval_avg_ns);
        prop_assert_eq!(merged.interval_min_ns, all.interval_min_ns);
        prop_assert_eq!(merged.interval_max_ns, all.interval_max_ns);
        prop_assert_eq!(merged.interval_p50_ns, all.interval_p50_ns);
        prop_assert_eq!(merged.interval_p99_ns, all.interval_p99_ns);
        prop_assert_eq!(merged.relative_error, all.relative_error);
    }

    #[test]
    fn whatever_the_clock_does_intervals_are_never_negative(
        start in any::<u64>(),
        times in prop::collection::vec(any::<u64>(), 1..60),
    ) {
        let metrics = recorded(start, &times);
        let mut latest = start;
        let mut backwards = 0;
        for time in &times {
            if *time < latest { backwards += 1 } else { latest = *time }
        }
        prop_assert_eq!(metrics.clock_back(), backwards);
        let summary = metrics.summary();
        prop_assert_eq!(summary.time_to_last_chunk_ns, Some(latest - start));
    }
}
