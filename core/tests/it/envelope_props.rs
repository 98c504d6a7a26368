//! Both forms of the envelope on inputs that nobody thought of.

use std::num::NonZeroU32;

use proptest::prelude::*;
use wirespan::envelope::{
    Body, Content, Drops, Form, Frame, FrameBody, HeadFields, Opened, Recognition,
    check_own_headers, convert_head, text_body, wrap, write_head,
};
use wirespan::limits::MAX_HEADER_BYTES;
use wirespan::trace::TraceFlags;

use crate::envelope::{ANY, all_fields, envelope, read, trace_parent};

/// Texts as applications have them, hard ones among them.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,40}",
        Just("{\"headers\":{\"stream\":\"1\"},\"body\":1}".to_owned()),
        Just("{\"a\":[1,2.50,1E400,\"\\ud800\"]} ".to_owned()),
        "[\\[\\]{}:,\"0-9a-z ]{0,30}",
    ]
}

fn any_own() -> impl Strategy<Value = Vec<(String, String)>> {
    let value = any::<String>().prop_map(|text| text.replace(['\r', '\n', '\0'], "_"));
    proptest::collection::vec(("[!-~]{1,12}", value), 0..6).prop_filter("sendable", |own| {
        let pairs: Vec<(&str, &str)> = own
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        check_own_headers(&pairs).is_ok()
    })
}

proptest! {
    #[test]
    fn what_is_sent_comes_out(text in any_text(), own in any_own(), stream in any::<u32>(), seq in any::<u32>(), sampled in any::<bool>()) {
        let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut parent = trace_parent();
        parent.flags = TraceFlags::from_bits(u8::from(sampled));
        let fields = HeadFields {
            trace_parent: Some(parent), stream: NonZeroU32::new(stream), seq, own: &own, ..HeadFields::default()
        };
        for body in [Body::Text(&text), Body::Binary(text.as_bytes())] {
            let message = wrap(&fields, body).unwrap();
            for recognition in [Recognition::Canonical, ANY] {
                let (head, inner) = envelope(read(&message, body.form(), recognition), &message);
                let delivered = match head.content {
                    Some(Content::Text) => text_body(inner).unwrap().into_owned().into_bytes(),
                    _ => inner.to_vec(),
                };
                prop_assert_eq!(delivered, text.as_bytes());
                prop_assert_eq!(head.trace_parent, Some(parent));
                prop_assert_eq!(head.stream, NonZeroU32::new(stream));
                prop_assert_eq!(head.seq.unwrap_or(0), if stream == 0 { 0 } else { seq });
                let got: Vec<(&str, &str)> = head.own.iter().map(|(name, value)| (&**name, &**value)).collect();
                prop_assert_eq!(got, own.clone());
                prop_assert_eq!(head.drops, Drops::default());
            }
        }
    }

    #[test]
    fn heads_convert_without_loss(own in any_own(), stream in 1..u32::MAX, seq in any::<u32>()) {
        let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let fields = HeadFields { stream: NonZeroU32::new(stream), seq, ..all_fields(&own) };
        let (mut as_text, mut as_binary) = (Vec::new(), Vec::new());
        write_head(&mut as_text, Form::Text, &fields, MAX_HEADER_BYTES).unwrap();
        write_head(&mut as_binary, Form::Binary, &fields, MAX_HEADER_BYTES).unwrap();
        let whole = [&as_text[..], b"1}"].concat();
        prop_assert_eq!(&convert_head(&whole, Form::Text, Recognition::Canonical, MAX_HEADER_BYTES).unwrap(), &as_binary);
        prop_assert_eq!(&convert_head(&as_binary, Form::Binary, ANY, MAX_HEADER_BYTES).unwrap(), &as_text);
    }

    #[test]
    fn every_prefix_is_plain_or_whole(text in any_text(), cut in any::<prop::sample::Index>()) {
        for body in [Body::Text(&text), Body::Binary(text.as_bytes())] {
            let message = wrap(&all_fields(&[("x", "y")]), body).unwrap();
            let prefix = &message[..cut.index(message.len())];
            for recognition in [Recognition::Canonical, ANY] {
                let opened = read(prefix, body.form(), recognition);
                if let Opened::Envelope { body: range, .. } = opened {
                    // A binary payload has no end of its own, and a text may end where its body has a brace.
                    let ends = body.form() == Form::Binary || prefix.last() == Some(&0x7D);
 prop_assert!(ends);
                    prop_assert!(range.end <= prefix.len());
                }
            }
        }
    }

    #[test]
    fn random_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), start in 0..4_usize) {
        let starts: [&[u8]; 4] = [b"", b"{\"headers\":{", b"\xff\x57\x01\x00\x00", b"{\"headers\":{\"a\":\"b\"},\"body\":"];
        let message = [starts[start], &bytes[..]].concat();
        for form in [Form::Text, Form::Binary] {
            for recognition in [Recognition::Canonical, ANY] {
                let _ = read(&message, form, recognition);
                let _ = convert_head(&message, form, recognition, MAX_HEADER_BYTES);
            }
        }
    }

    #[test]
    fn both_readers_agree_on_canonical_messages(text in any_text(), own in any_own()) {
        let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let message = wrap(&all_fields(&own), Body::Text(&text)).unwrap();
        prop_assert_eq!(read(&message, Form::Text, Recognition::Canonical), read(&message, Form::Text, ANY));
    }

    #[test]
    fn frames_say_their_length(text in any::<String>()) {
        for body in [FrameBody::Raw(text.as_bytes()), FrameBody::JsonString(&text), FrameBody::Null] {
            let frame = Frame::new(Form::Text, b"head", body);
            let bytes = frame.to_vec();
            prop_assert_eq!(bytes.len(), frame.len());
            let mut exact = vec![0; bytes.len()];
            prop_assert_eq!(frame.copy_to(&mut exact), Some(bytes.len()));
            prop_assert_eq!(&exact, &bytes);
            prop_assert_eq!(frame.copy_to(&mut exact[1..]), None);
        }
        let json = Frame::new(Form::Text, b"", FrameBody::JsonString(&text)).to_vec();
        let read: String = serde_json::from_slice(&json[..json.len() - 1]).unwrap();
        prop_assert_eq!(read, text);
    }
}
