//! Context that travels with an item across a broker.

use serde_json::{Map, Value, json};
use wirespan::carry::{self, Carried};
use wirespan::trace::Context;

use crate::shown;
use crate::value::{
    Failure, Output, add, allow_list, baggage, context, headers, list, optional, text, wrong,
};

pub(crate) fn to_headers(input: &Value) -> Output {
    let written = carried(input)?.to_headers(&allow_list(&input["baggage_out"])?);
    let mut output = Map::new();
    add(&mut output, "headers", shown::headers(&written));
    Ok(output.into())
}

pub(crate) fn from_headers(input: &Value) -> Output {
    let fields = headers(&input["headers"])?;
    let fields = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()));
    let carried = Carried::from_headers(fields, &allow_list(&input["baggage_in"])?);
    let mut output = Map::new();
    add(
        &mut output,
        "context",
        carried.context.span.as_ref().map(shown::context).into(),
    );
    add(
        &mut output,
        "baggage",
        shown::baggage(&carried.context.baggage),
    );
    add(&mut output, "session", carried.session_id.into());
    add(
        &mut output,
        "sent",
        carried.sent_unix_ns.map(|sent| sent.to_string()).into(),
    );
    if carried.context_invalid {
        add(&mut output, "counts", json!({"context_invalid": 1}));
    }
    Ok(output.into())
}

pub(crate) fn plan_send(input: &Value) -> Output {
    let plan = carry::plan_send(
        optional(&input["destination"])?,
        optional(&input["session"])?,
    );
    Ok(json!({"plan": shown::plan(&plan)}))
}

pub(crate) fn plan_process(input: &Value) -> Output {
    let items: Result<Vec<Carried>, Failure> = list(&input["items"])?.iter().map(carried).collect();
    let continue_trace = input["continue"].as_bool().unwrap_or_default();
    let now = unix_ns(&input["now"])?.unwrap_or_default();
    let plan = carry::plan_process(
        optional(&input["destination"])?,
        &items?,
        continue_trace,
        now,
    );
    // Whatever came through a broker is another process's.
    Ok(json!({"plan": shown::plan(&plan)}))
}

fn carried(item: &Value) -> Result<Carried, Failure> {
    let context = Context {
        span: context(&item["context"])?,
        baggage: baggage(&item["baggage"])?,
    };
    let session = optional(&item["session"])?.map(str::to_owned);
    Ok(Carried::new(context, session, unix_ns(&item["sent"])?))
}

fn unix_ns(value: &Value) -> Result<Option<u64>, Failure> {
    if value.is_null() {
        return Ok(None);
    }
    text(value)?
        .parse()
        .map(Some)
        .map_err(|_| wrong("time", value))
}
