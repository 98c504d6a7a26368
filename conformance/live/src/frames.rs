//! WebSocket frames (RFC 6455, section 5), as far as a tap needs them: read whole frames out of a byte stream, put messages together, and
//! write a frame again in fragments.

use flate2::{Decompress, FlushDecompress};

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Binary,
}

/// A message as it crossed the wire.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) form: Form,
    /// Its payload, inflated.
    pub(crate) payload: Vec<u8>,
    /// In how many frames it came.
    pub(crate) frames: usize,
    /// It was compressed.
    pub(crate) deflated: bool,
}

/// A frame, its payload unmasked.
pub(crate) struct Frame {
    fin: bool,
    rsv1: bool,
    opcode: u8,
    masked: bool,
    payload: Vec<u8>,
}

impl Frame {
    /// Takes one whole frame from the front of a buffer, if there is one.
    pub(crate) fn take(buffer: &mut Vec<u8>) -> Option<Self> {
        let (&[first, second], rest) = buffer.split_first_chunk::<2>()?;
        let masked = second & 0x80 != 0;
        let (length, rest) = match second & 0x7F {
            126 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk::<8>()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        let (key, rest) = if masked {
            let (key, rest) = rest.split_first_chunk::<4>()?;
            (*key, rest)
        } else {
            ([0; 4], rest)
        };
        let length = usize::try_from(length).ok()?;
        let mut payload = rest.get(..length)?.to_vec();
        for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
        let used = buffer.len() - rest.len() + length;
        buffer.drain(..used);
        Some(Self {
            fin: first & 0x80 != 0,
            rsv1: first & 0x40 != 0,
            opcode: first & 0x0F,
            masked,
            payload,
        })
    }

    fn is_control(&self) -> bool {
        self.opcode & 0x08 != 0
    }

    /// Writes the frame as fragments of at most so many bytes; control frames cannot be fragmented (section 5.5).
    pub(crate) fn write_split(&self, size: usize, out: &mut Vec<u8>) {
        if self.is_control() || self.payload.len() <= size {
            write_frame(
                out,
                self.fin,
                self.rsv1,
                self.opcode,
                self.masked,
                &self.payload,
            );
            return;
        }
        let last = self.payload.len().div_ceil(size) - 1;
        for (index, part) in self.payload.chunks(size).enumerate() {
            let opcode = if index == 0 { self.opcode } else { 0 };
            let fin = self.fin && index == last;
            write_frame(out, fin, self.rsv1 && index == 0, opcode, self.masked, part);
        }
    }
}

fn write_frame(out: &mut Vec<u8>, fin: bool, rsv1: bool, opcode: u8, masked: bool, payload: &[u8]) {
    out.push(u8::from(fin) << 7 | u8::from(rsv1) << 6 | opcode);
    let mask = u8::from(masked) << 7;
    match payload.len() {
        short @ 0..=125 => out.push(mask | u8::try_from(short).unwrap_or_default()),
        medium if u16::try_from(medium).is_ok() => {
            out.push(mask | 126);
            out.extend(u16::try_from(medium).unwrap_or_default().to_be_bytes());
        }
        long => {
            out.push(mask | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    if masked {
        // The key is the sender's to choose; with this one the payload stays readable in a capture.
        out.extend([0; 4]);
    }
    out.extend(payload);
}

/// Puts the messages of one direction together.
#[derive(Default)]
pub(crate) struct Assembler {
    form: Option<Form>,
    payload: Vec<u8>,
    frames: usize,
    deflated: bool,
    inflater: Option<Decompress>,
    /// The sender begins each message with an empty window (RFC 7692, section 7.1.1).
    no_context_takeover: bool,
}

impl Assembler {
    pub(crate) fn new(no_context_takeover: bool) -> Self {
        Self {
            no_context_takeover,
            ..Self::default()
        }
    }

    /// Takes a frame, and gives the message that it completes.
    pub(crate) fn add(&mut self, frame: &Frame) -> Option<Message> {
        if frame.is_control() {
            return None;
        }
        match frame.opcode {
            1 | 2 => {
                let form = if frame.opcode == 1 {
                    Form::Text
                } else {
                    Form::Binary
                };
                self.form = Some(form);
                self.payload.clear();
                self.frames = 0;
                self.deflated = frame.rsv1;
            }
            _ => {}
        }
        self.payload.extend(&frame.payload);
        self.frames += 1;
        if !frame.fin {
            return None;
        }
        let payload = std::mem::take(&mut self.payload);
        let payload = if self.deflated {
            self.inflate(payload)
        } else {
            payload
        };
        Some(Message {
            form: self.form?,
            payload,
            frames: self.frames,
            deflated: self.deflated,
        })
    }

    /// RFC 7692, section 7.2.2: the tail that the sender left out is put back, then the blocks are inflated.
    fn inflate(&mut self, mut deflated: Vec<u8>) -> Vec<u8> {
        deflated.extend([0x00, 0x00, 0xFF, 0xFF]);
        if self.no_context_takeover {
            self.inflater = None;
        }
        let inflater = self.inflater.get_or_insert_with(|| Decompress::new(false));
        let mut out = Vec::new();
        let begin = inflater.total_in();
        // What is left in the inflater comes out also when all input is in.
        loop {
            let used = usize::try_from(inflater.total_in() - begin).unwrap_or(deflated.len());
            let rest = deflated.get(used..).unwrap_or_default();
            out.reserve(rest.len() * 4 + 4096);
            let before = out.len();
            if inflater
                .decompress_vec(rest, &mut out, FlushDecompress::Sync)
                .is_err()
            {
                break;
            }
            let after = usize::try_from(inflater.total_in() - begin).unwrap_or(deflated.len());
            if after == used && out.len() == before {
                break;
            }
        }
        out
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    fn one(fin: bool, opcode: u8, payload: &[u8], rsv1: bool) -> Vec<u8> {
        let mut out = Vec::new();
        write_frame(&mut out, fin, rsv1, opcode, true, payload);
        out
    }

    #[test]
    fn a_frame_is_taken_only_when_it_is_whole() {
        let whole = one(true, 1, &[b'x'; 300], false);
        for cut in 0..whole.len() {
            let mut buffer = whole[..cut].to_vec();
            assert!(Frame::take(&mut buffer).is_none(), "{cut}");
            assert_eq!(buffer.len(), cut);
        }
        let mut buffer = [whole.clone(), one(true, 9, b"", false)].concat();
        assert_eq!(Frame::take(&mut buffer).unwrap().payload, [b'x'; 300]);
        assert!(Frame::take(&mut buffer).unwrap().is_control());
        assert!(buffer.is_empty());
    }

    #[test]
    fn fragments_come_together_again() {
        for length in [0_usize, 1, 6, 7, 8, 70_000] {
            let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let mut buffer = one(true, 2, &payload, false);
            let frame = Frame::take(&mut buffer).unwrap();
            let mut split = Vec::new();
            frame.write_split(7, &mut split);
            let mut assembler = Assembler::new(false);
            let mut message = None;
            while let Some(frame) = Frame::take(&mut split) {
                assert!(message.is_none());
                message = assembler.add(&frame);
            }
            let message = message.unwrap();
            assert_eq!((message.form, message.payload), (Form::Binary, payload));
            assert_eq!(message.frames, length.div_ceil(7).max(1));
        }
    }

    #[test]
    fn compressed_messages_are_inflated_with_the_window_of_the_earlier_ones() {
        let mut compress = Compress::new(Compression::default(), false);
        let mut assembler = Assembler::new(false);
        for text in [
            "hello hello hello",
            "hello hello hello again",
            &"again ".repeat(2000),
        ] {
            let mut deflated = Vec::with_capacity(200);
            compress
                .compress_vec(text.as_bytes(), &mut deflated, FlushCompress::Sync)
                .unwrap();
            deflated.truncate(deflated.len() - 4);
            let mut buffer = one(true, 1, &deflated, true);
            let message = assembler.add(&Frame::take(&mut buffer).unwrap()).unwrap();
            assert_eq!(message.payload, text.as_bytes());
            assert!(message.deflated);
        }
    }
}
