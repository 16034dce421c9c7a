//! Compressed streams read, and bounded in what they may become.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Encoding, peek};
use crate::error::{Context as _, Result};
use crate::images::limits::{self, Limits};

/// The uncompressed bytes of a stream, whatever its encoding.
pub(crate) fn decoder<'a, R: Read + Send + 'a>(input: R, limits: &Limits) -> Result<Box<dyn Read + Send + 'a>> {
    let (encoding, input) = peek(input)?;
    decode(encoding, input, limits)
}

/// The uncompressed bytes of a stream with this encoding.
pub(crate) fn decode<'a, R: Read + Send + 'a>(
    encoding: Encoding,
    input: R,
    limits: &Limits,
) -> Result<Box<dyn Read + Send + 'a>> {
    if encoding == Encoding::Plain {
        return Ok(Box::new(input));
    }
    let eaten = Arc::new(AtomicU64::new(0));
    let input = BufReader::with_capacity(
        1 << 17,
        Counted {
            input,
            count: Arc::clone(&eaten),
        },
    );
    let output: Box<dyn Read + Send + 'a> = match encoding {
        Encoding::Gzip => Box::new(Members::<flate2::bufread::GzDecoder<_>>::new(input)),
        Encoding::Bzip2 => Box::new(Members::<bzip2::bufread::BzDecoder<_>>::new(input)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input).during(|| "start the zstd decoder")?;
            decoder
                .window_log_max(limits.zstd_window_log)
                .during(|| "bound the zstd decoder")?;
            Box::new(decoder)
        }
        _ => {
            let kib = u32::try_from(limits.xz_memory >> 10).unwrap_or(u32::MAX);
            Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, kib))
        }
    };
    let memory = match encoding {
        Encoding::Zstd => ("zstd_window_log", u64::from(limits.zstd_window_log)),
        _ => ("xz_memory", limits.xz_memory),
    };
    Ok(Box::new(Bounded {
        output,
        eaten,
        made: 0,
        ratio: limits.ratio,
        floor: limits.ratio_floor,
        memory,
    }))
}

struct Counted<R> {
    input: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.count.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Refuses to go on where far more comes out than went in, and names the limit where a decoder refuses to take more memory.
struct Bounded<R> {
    output: R,
    eaten: Arc<AtomicU64>,
    made: u64,
    ratio: u64,
    floor: u64,
    memory: (&'static str, u64),
}

impl<R> Bounded<R> {
    fn name_limit(&self, cause: io::Error) -> io::Error {
        // libzstd has words for it, the xz decoder a kind.
        let is_memory =
            cause.kind() == io::ErrorKind::OutOfMemory || cause.to_string().contains("requires too much memory");
        let (setting, limit) = self.memory;
        match is_memory {
            true => io::Error::other(limits::exceeded(
                "the memory the compressed data asks for",
                setting,
                limit,
            )),
            false => cause,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match self.output.read(buffer) {
            Err(cause) => return Err(self.name_limit(cause)),
            Ok(length) => length,
        };
        self.made += length as u64;
        let allowed = self.eaten.load(Ordering::Relaxed).saturating_mul(self.ratio);
        if self.made > self.floor && self.made > allowed {
            return Err(io::Error::other(limits::exceeded(
                "the archive's compression",
                "ratio",
                format!("{} to 1", self.ratio),
            )));
        }
        Ok(length)
    }
}

/// A stream that may be followed by another of its kind.
trait Member: Read + Sized {
    type Input: BufRead;
    fn start(input: Self::Input) -> Self;
    fn into_input(self) -> Self::Input;
}

impl<R: BufRead> Member for flate2::bufread::GzDecoder<R> {
    type Input = R;
    fn start(input: R) -> Self {
        Self::new(input)
    }
    fn into_input(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Member for bzip2::bufread::BzDecoder<R> {
    type Input = R;
    fn start(input: R) -> Self {
        Self::new(input)
    }
    fn into_input(self) -> R {
        self.into_inner()
    }
}

/// Members one after another, and zeros after the last, as tape-minded writers leave them.
struct Members<M>(Option<M>);

impl<M: Member> Members<M> {
    fn new(input: M::Input) -> Members<M> {
        Members(Some(M::start(input)))
    }
}

impl<M: Member> Read for Members<M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let length = member.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            let ended = self.0.take().map(Member::into_input);
            self.0 = ended.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// The member that follows, if one does; the rest must be zeros.
fn next_member<M: Member>(mut input: M::Input) -> io::Result<Option<M>> {
    let mut zeros = false;
    loop {
        let available = input.fill_buf()?;
        let Some(first) = available.first() else {
            return Ok(None);
        };
        if *first != 0 && !zeros {
            return Ok(Some(M::start(input)));
        }
        if available.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "something else follows the last compressed member",
            ));
        }
        zeros = true;
        let length = available.len();
        input.consume(length);
    }
}
