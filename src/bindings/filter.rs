//! Filter maps, whose `matching` is a closure of the script and whose other keys the host judges.

use std::cell::RefCell;

use rhai::{Map, NativeCallContext};
use serde::de::DeserializeOwned;

use super::closure;
use super::failure::{Scripted, throw};
use super::options::Options;
use super::session::Session;
use crate::error::{Error, Result};
use crate::host::Matching;

/// Calls `act` with the filter and with the condition `matching` adds to it.
///
/// What the closure throws ends the whole call and is thrown as it is.
pub fn filtered<F, T, R>(
    ctx: &NativeCallContext,
    map: Map,
    act: impl FnOnce(&Session, &F, Matching<'_, T>) -> Result<R>,
) -> Scripted<R>
where
    F: DeserializeOwned,
    T: Clone + Send + Sync + 'static,
{
    let session = Session::of(ctx);
    let fail = |error| throw(ctx, &session, error);
    let mut options = Options::new(map);
    let wanted = options.closure("matching").map_err(fail)?;
    let filter: F = options.parse().map_err(fail)?;
    let Some(wanted) = wanted else {
        return act(&session, &filter, None).map_err(fail);
    };
    let thrown = RefCell::new(None);
    let matching = |item: &T| {
        closure::test(ctx, &wanted, (item.clone(),)).map_err(|error| {
            thrown.replace(Some(error));
            Error::internal("the closure `matching` failed")
        })
    };
    let result = act(&session, &filter, Some(&matching));
    match thrown.into_inner() {
        Some(error) => Err(error),
        None => result.map_err(fail),
    }
}
