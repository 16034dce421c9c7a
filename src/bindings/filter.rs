//! Filter maps, whose `matching` is a closure of the script and whose other keys the host judges.

use std::cell::RefCell;

use rhai::{Array, Map, NativeCallContext};
use serde::de::DeserializeOwned;

use super::closure;
use super::failure::{Scripted, throw};
use super::options::Options;
use super::report::Report;
use super::session::Session;
use super::value::list;
use crate::error::{Error, Result};
use crate::host::{Container, ContainerFilter, Image, ImageFilter, Matching, Volume, VolumeFilter};

/// Things of the store that a filter chooses from.
pub trait Stored: Clone + Send + Sync + 'static {
    /// The keys of the filter, but for `matching`.
    type Filter: DeserializeOwned;

    /// Those that fit.
    fn listed(session: &Session, filter: &Self::Filter, matching: Matching<'_, Self>) -> Result<Vec<Self>>;
    /// Those that would be removed.
    fn selected(session: &Session, filter: &Self::Filter, matching: Matching<'_, Self>) -> Result<Vec<Self>>;
    /// Removes them.
    fn pruned(session: &Session, filter: &Self::Filter, matching: Matching<'_, Self>) -> Result<Report>;
}

impl Stored for Image {
    type Filter = ImageFilter;

    fn listed(session: &Session, filter: &ImageFilter, matching: Matching<'_, Image>) -> Result<Vec<Image>> {
        session.host()?.images(filter, matching)
    }

    fn selected(session: &Session, filter: &ImageFilter, matching: Matching<'_, Image>) -> Result<Vec<Image>> {
        session.host()?.select_images(filter, matching)
    }

    fn pruned(session: &Session, filter: &ImageFilter, matching: Matching<'_, Image>) -> Result<Report> {
        Ok(session.host()?.prune_images(filter, matching)?.into())
    }
}

impl Stored for Container {
    type Filter = ContainerFilter;

    fn listed(session: &Session, filter: &Self::Filter, matching: Matching<'_, Self>) -> Result<Vec<Self>> {
        session.host()?.containers(filter, matching)
    }

    fn selected(session: &Session, filter: &Self::Filter, matching: Matching<'_, Self>) -> Result<Vec<Self>> {
        session.host()?.select_containers(filter, matching)
    }

    fn pruned(session: &Session, filter: &Self::Filter, matching: Matching<'_, Self>) -> Result<Report> {
        let report = session.host()?.prune_containers(&session.context(), filter, matching)?;
        Ok(report.into())
    }
}

impl Stored for Volume {
    type Filter = VolumeFilter;

    fn listed(session: &Session, filter: &VolumeFilter, matching: Matching<'_, Volume>) -> Result<Vec<Volume>> {
        session.host()?.volumes(filter, matching)
    }

    fn selected(session: &Session, filter: &VolumeFilter, matching: Matching<'_, Volume>) -> Result<Vec<Volume>> {
        session.host()?.select_volumes(filter, matching)
    }

    fn pruned(session: &Session, filter: &VolumeFilter, matching: Matching<'_, Volume>) -> Result<Report> {
        let report = session.host()?.prune_volumes(&session.context(), filter, matching)?;
        Ok(report.into())
    }
}

/// The things that fit a filter, as scripts get them.
pub fn listed<T: Stored>(ctx: &NativeCallContext, filter: Map) -> Scripted<Array> {
    filtered(ctx, filter, |session, filter, matching| {
        Ok(list(T::listed(session, filter, matching)?))
    })
}

/// The things that would be removed by the same filter.
pub fn selected<T: Stored>(ctx: &NativeCallContext, filter: Map) -> Scripted<Array> {
    filtered(ctx, filter, |session, filter, matching| {
        Ok(list(T::selected(session, filter, matching)?))
    })
}

/// Removes what fits a filter and nothing uses.
pub fn pruned<T: Stored>(ctx: &NativeCallContext, filter: Map) -> Scripted<Report> {
    filtered(ctx, filter, T::pruned)
}

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
