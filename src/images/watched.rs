//! Bytes that are told of as they go by.

use std::io::Read;

use crate::model::Context;

/// A reader whose bytes are a part of the work that those who hold the context watch.
pub(super) struct Watched<R> {
    input: R,
    part: String,
    came: u64,
    ctx: Context,
}

impl<R: Read> Watched<R> {
    /// `came` bytes of the part are there already.
    pub(super) fn new(ctx: &Context, input: R, part: &str, came: u64) -> Watched<R> {
        ctx.watcher().came(part, came);
        Watched {
            input,
            part: part.to_owned(),
            came,
            ctx: ctx.clone(),
        }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.came += length as u64;
        self.ctx.watcher().came(&self.part, self.came);
        Ok(length)
    }
}
