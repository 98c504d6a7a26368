//! The envelope by itself.

use std::num::NonZeroU32;

use serde_json::{Map, Value, json};
use wirespan::envelope::{
    self, Content, Drops, End, Form, Head, HeadFields, Kind, Opened, Plain, Recognition, Role,
    convert_head, frame_body, text_body, write_head,
};
use wirespan::limits::{MAX_HEADER_BYTES, MAX_NESTING};
use wirespan::trace::TraceParent;

use crate::shown;
use crate::value::{
    Failure, Output, OwnedBody, add, message, message_value, optional, own_headers, wrong,
};

pub(crate) fn unwrap(input: &Value) -> Output {
    let (form, message) = message(&input["message"])?;
    match envelope::open(&message, form, recognition(input)?, MAX_HEADER_BYTES) {
        Opened::Plain(why) => Ok(json!({"plain": plain(why)})),
        Opened::Envelope { head, body } => {
            let mut output = Map::new();
            add(&mut output, "headers", Value::Object(headers(&head)));
            add(&mut output, "own", shown::headers(&head.own));
            let bytes = message.get(body).ok_or_else(|| wrong("envelope", input))?;
            output.insert("body".to_owned(), body_of(&head, form, bytes)?);
            add(&mut output, "counts", counts(&head.drops));
            Ok(output.into())
        }
    }
}

fn recognition(input: &Value) -> Result<Recognition, Failure> {
    match optional(&input["recognition"])? {
        Some("announced") | None => Ok(Recognition::Canonical),
        Some("always") => Ok(Recognition::Any {
            max_nesting: MAX_NESTING,
        }),
        Some(_) => Err(wrong("recognition", &input["recognition"])),
    }
}

fn plain(why: Plain) -> String {
    match why {
        Plain::Ordinary => "ordinary".to_owned(),
        Plain::HeadTooLong => "head_too_long".to_owned(),
        Plain::Version => "version".to_owned(),
        Plain::Malformed(reason) => reason.name().to_owned(),
        other => format!("{other:?}"),
    }
}

/// The valid reserved headers, as they stand in a text envelope.
fn headers(head: &Head<'_>) -> Map<String, Value> {
    let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().map(str::to_owned);
    let role = head.role.map(|role| match role {
        Role::Client => "client",
        Role::Server => "server",
    });
    let kind = head.kind.map(|kind| match kind {
        Kind::Call => "call",
        Kind::Transfer => "transfer",
        _ => "unknown",
    });
    let end = head.end.map(|end| match end {
        End::Complete => "1",
        End::Cancel => "cancel",
        End::Error => "error",
        _ => "unknown",
    });
    let content = head.content.map(|content| match content {
        Content::Text => "text",
        Content::None => "none",
        _ => "unknown",
    });
    let all = [
        ("wirespan", text(&head.versions)),
        ("role", role.map(str::to_owned)),
        (
            "traceparent",
            head.trace_parent.map(|parsed| parsed.to_header()),
        ),
        ("tracestate", text(&head.trace_state)),
        ("baggage", text(&head.baggage)),
        ("session", text(&head.session)),
        ("kind", kind.map(str::to_owned)),
        ("method", text(&head.method)),
        ("stream", head.stream.map(|stream| stream.to_string())),
        ("seq", head.seq.map(|seq| seq.to_string())),
        ("end", end.map(str::to_owned)),
        ("error", text(&head.error)),
        ("content", content.map(str::to_owned)),
        ("sent", head.sent.map(|sent| sent.to_string())),
    ];
    let present = all
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    present.collect()
}

fn body_of(head: &Head<'_>, form: Form, bytes: &[u8]) -> Output {
    match (head.content, form) {
        (Some(Content::None), _) => Ok(Value::Null),
        (Some(Content::Text), Form::Text) => match text_body(bytes) {
            Some(text) => Ok(json!({"text": text})),
            None => Err(Failure::Input(
                "content:text without a JSON string".to_owned(),
            )),
        },
        _ => Ok(message_value(form, bytes)),
    }
}

fn counts(drops: &Drops) -> Value {
    let mut counts = Map::new();
    for (name, count) in [
        ("context_invalid", u8::from(drops.context_invalid)),
        ("header_invalid", drops.header_invalid),
        ("header_repeated", u8::from(drops.header_repeated)),
        ("dropped_tracestate", u8::from(drops.tracestate)),
        ("dropped_baggage", u8::from(drops.baggage)),
        ("content_mismatch", u8::from(drops.content_mismatch)),
    ] {
        add(&mut counts, name, count.into());
    }
    counts.into()
}

pub(crate) fn wrap(input: &Value) -> Output {
    let given = &input["headers"];
    let own = own_headers(&input["own"])?;
    let fields = fields(given, &own)?;
    let body = OwnedBody::of(&input["body"])?;
    let message = envelope::wrap(&fields, body.body())?;
    // What was left out is told where the head is written by itself.
    let (content, _) = frame_body(body.body(), MAX_NESTING);
    let written = write_head(
        &mut Vec::new(),
        body.body().form(),
        &HeadFields { content, ..fields },
        MAX_HEADER_BYTES,
    )?;
    let mut counts = Map::new();
    add(
        &mut counts,
        "dropped_baggage",
        u8::from(written.baggage_dropped).into(),
    );
    add(
        &mut counts,
        "dropped_tracestate",
        u8::from(written.tracestate_cut).into(),
    );
    add(&mut counts, "dropped_header", written.own_dropped.into());
    let mut output = Map::new();
    add(
        &mut output,
        "message",
        message_value(body.body().form(), &message),
    );
    add(&mut output, "counts", counts.into());
    Ok(output.into())
}

fn fields<'a>(given: &'a Value, own: &'a [(&'a str, &'a str)]) -> Result<HeadFields<'a>, Failure> {
    let get = |name: &str| optional(&given[name]);
    let hello = match (get("wirespan")?, get("role")?) {
        (Some(versions), Some("client")) => Some((versions, Role::Client)),
        (Some(versions), Some("server")) => Some((versions, Role::Server)),
        (None, None) => None,
        _ => return Err(wrong("hello", given)),
    };
    let trace_parent = get("traceparent")?
        .map(|value| TraceParent::parse(value.as_bytes()))
        .transpose()?;
    let stream = get("stream")?.map(|value| {
        value
            .parse::<NonZeroU32>()
            .map_err(|_| wrong("stream", given))
    });
    let seq = get("seq")?.map(|value| value.parse().map_err(|_| wrong("seq", given)));
    let sent = get("sent")?.map(|value| value.parse().map_err(|_| wrong("time", given)));
    let kind = match get("kind")? {
        Some("call") => Some(Kind::Call),
        Some("transfer") => Some(Kind::Transfer),
        None => None,
        Some(_) => return Err(wrong("kind", given)),
    };
    let end = match get("end")? {
        Some("1") => Some(End::Complete),
        Some("cancel") => Some(End::Cancel),
        Some("error") => Some(End::Error),
        None => None,
        Some(_) => return Err(wrong("end", given)),
    };
    Ok(HeadFields {
        hello,
        trace_parent,
        trace_state: get("tracestate")?.unwrap_or_default(),
        baggage: get("baggage")?.unwrap_or_default(),
        session: get("session")?,
        kind,
        method: get("method")?,
        stream: stream.transpose()?,
        seq: seq.transpose()?.unwrap_or_default(),
        end,
        error: get("error")?,
        content: None,
        sent: sent.transpose()?,
        own,
    })
}

pub(crate) fn convert(input: &Value) -> Output {
    let (form, message) = message(&input["message"])?;
    let recognition = recognition(input)?;
    if let Opened::Plain(why) = envelope::open(&message, form, recognition, MAX_HEADER_BYTES) {
        return Ok(json!({"plain": plain(why)}));
    }
    let head = convert_head(&message, form, recognition, MAX_HEADER_BYTES)?;
    let other = match form {
        Form::Text => Form::Binary,
        Form::Binary => Form::Text,
    };
    Ok(json!({"head": message_value(other, &head)}))
}
