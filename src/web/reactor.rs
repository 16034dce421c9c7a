//! The threads that wait for the network, once there is something to wait for, and calls that end with their context.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::runtime::Runtime;

use crate::error::{Error, Result};
use crate::model::Context;

/// Two threads, started by the first call.
#[derive(Default)]
pub struct Reactor(OnceLock<Runtime>);

impl Reactor {
    /// Does work that waits for the network; it is dropped where it stands when the context ends.
    pub fn wait<T>(&self, ctx: &Context, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.wait_out(ctx, Duration::ZERO, work)
    }

    /// The same for work that may still come to its end within some time of the context's.
    pub fn wait_out<T>(&self, ctx: &Context, grace: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
        ctx.check()?;
        self.runtime()?.block_on(async {
            let (mut work, mut end) = (pin!(work), pin!(ended(ctx)));
            let outcome = poll_fn(|task| match work.as_mut().poll(task) {
                Poll::Ready(value) => Poll::Ready(Ok(value)),
                Poll::Pending => end.as_mut().poll(task).map(Err),
            });
            match outcome.await {
                Ok(value) => value,
                Err(error) if grace.is_zero() => Err(error),
                Err(error) => tokio::time::timeout(grace, work).await.unwrap_or(Err(error)),
            }
        })
    }

    fn runtime(&self) -> Result<&Runtime> {
        if let Some(runtime) = self.0.get() {
            return Ok(runtime);
        }
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).thread_name("hoist-http").enable_all().build();
        let runtime =
            runtime.map_err(|cause| Error::internal(format!("failed to start the network's threads: {cause}")))?;
        if let Err(late) = self.0.set(runtime) {
            late.shutdown_background();
        }
        Ok(self.0.get().expect("set just above"))
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        // Whoever dropped it waits for nobody: what is under way has nobody left who wants it.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits for the end of a context, and gives the error it ends with.
async fn ended(ctx: &Context) -> Error {
    let wake = match ctx.wake_fd().map(|fd| fd.try_clone_to_owned()) {
        Ok(fd) => fd.and_then(pipe::Receiver::from_owned_fd),
        Err(error) => return error,
    };
    let wake = match wake {
        Ok(wake) => wake,
        Err(cause) => return Error::internal(format!("failed to wait: {cause}")),
    };
    loop {
        if let Err(error) = ctx.check() {
            return error;
        }
        match ctx.remaining() {
            Some(left) => drop(tokio::time::timeout(left, wake.readable()).await),
            None => drop(wake.readable().await),
        }
    }
}
