//! Surgery on the boxes of files that we wrote: a box within boxes is found by its path and replaced, and the sizes of those
//! around it follow. Sizes have 32 bits, as ours do.

use super::Error;

/// A box: its type, all its bytes, and its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) kind: [u8; 4],
    pub(crate) whole: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// The boxes that stand one behind the other in `bytes`.
pub(crate) fn boxes(bytes: &[u8]) -> Result<Vec<Found<'_>>, Error> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (size, after) = rest.split_first_chunk().ok_or(Error::Layout("half a box"))?;
        let (kind, _) = after.split_first_chunk().ok_or(Error::Layout("half a box"))?;
        let size = usize::try_from(u32::from_be_bytes(*size)).map_err(|_| Error::Layout("a box too large"))?;
        let (whole, next) = rest.split_at_checked(size).filter(|_| size >= 8).ok_or(Error::Layout("half a box"))?;
        found.push(Found { kind: *kind, whole, payload: &whole[8..] });
        rest = next;
    }
    Ok(found)
}

/// The one box of this type in `bytes`.
pub(crate) fn only<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<Found<'a>, Error> {
    let mut all = boxes(bytes)?.into_iter().filter(|it| it.kind == *kind);
    match (all.next(), all.next()) {
        (Some(found), None) => Ok(found),
        _ => Err(Error::Layout("not exactly one box of a kind")),
    }
}

/// A box of this type and payload.
pub(crate) fn boxed(kind: &[u8; 4], payload: &[u8]) -> Result<Vec<u8>, Error> {
    let size = u32::try_from(payload.len() + 8).map_err(|_| Error::Layout("a box too large"))?;
    Ok([&size.to_be_bytes(), &kind[..], payload].concat())
}

/// `bytes` with the box at `path`, which there must be once, replaced by what `edit` makes of it. The boxes of `stsd`, of
/// which we write one, stand behind eight bytes of its own.
pub(crate) fn edited(
    bytes: &[u8],
    path: &[&[u8; 4]],
    edit: &dyn Fn(Found<'_>) -> Result<Vec<u8>, Error>,
) -> Result<Vec<u8>, Error> {
    let Some((first, rest)) = path.split_first() else { return Err(Error::Layout("a path to nowhere")) };
    only(bytes, first)?;
    let mut out = Vec::with_capacity(bytes.len() + 256);
    for it in boxes(bytes)? {
        if it.kind != **first {
            out.extend_from_slice(it.whole);
        } else if rest.is_empty() {
            out.extend_from_slice(&edit(it)?);
        } else {
            let own = if it.kind == *b"stsd" { 8 } else { 0 };
            let (head, inner) = it.payload.split_at_checked(own).ok_or(Error::Layout("half an stsd"))?;
            out.extend_from_slice(&boxed(&it.kind, &[head, &edited(inner, rest, edit)?].concat())?);
        }
    }
    Ok(out)
}
