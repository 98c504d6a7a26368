//! Stream metrics by themselves.

use serde_json::{Map, Value, json};
use wirespan::metrics::{Outcome, StreamMetrics, StreamMetricsOptions};

use crate::shown;
use crate::value::{Failure, Output, add, list, number, text, wrong};

pub(crate) fn metrics(input: &Value) -> Output {
    let given = &input["options"];
    let mut options = StreamMetricsOptions::default();
    if !given["stall_threshold"].is_null() {
        options.stall_threshold_ns = number(&given["stall_threshold"])?;
    }
    options.skip_empty_first = given["skip_empty_first"].as_bool().unwrap_or_default();
    let mut stalls = Vec::new();
    let mut all = Vec::new();
    for (index, steps) in list(&input["series"])?.iter().enumerate() {
        let mut series = StreamMetrics::new(options);
        for one in list(steps)? {
            if let Some((chunk, interval)) = step(&mut series, one)? {
                stalls.push(json!([index, chunk, interval]));
            }
        }
        all.push(series);
    }
    let mut all = all.into_iter();
    let mut whole = all.next().unwrap_or_else(|| StreamMetrics::new(options));
    for other in all {
        whole.merge(&other);
    }
    let mut output = Map::new();
    add(&mut output, "stalls", stalls.into());
    add(&mut output, "summary", shown::summary(&whole.summary()));
    Ok(output.into())
}

fn step(series: &mut StreamMetrics, step: &Value) -> Result<Option<(u64, u64)>, Failure> {
    match text(&step[0])? {
        "start" => series.start(number(&step[1])?),
        "chunk" => {
            let stall = series.record_chunk(number(&step[1])?, number(&step[2])?);
            return Ok(stall.map(|stall| (stall.chunk, stall.interval_ns)));
        }
        "finish" => series.finish(outcome(&step[1])?, number(&step[2])?),
        _ => return Err(wrong("step", step)),
    }
    Ok(None)
}

fn outcome(value: &Value) -> Result<Outcome, Failure> {
    let all = [
        Outcome::Complete,
        Outcome::Cancelled,
        Outcome::Error,
        Outcome::Abandoned,
    ];
    let name = text(value)?;
    all.into_iter()
        .find(|outcome| outcome.name() == name)
        .ok_or_else(|| wrong("outcome", value))
}
