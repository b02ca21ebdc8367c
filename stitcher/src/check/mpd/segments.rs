//! The segments that a Representation lists, by what it inherits from the levels around it (ISO/IEC 23009-1 5.3.9).

use dash_mpd_core::{
    AdaptationSet, BaseURL, MPD, Period, Representation, SegmentList, SegmentTemplate, SegmentTimeline,
};

use super::{Addressing, Listed, MOST_NAME_BYTES, MOST_SEGMENTS, MOST_SEGMENTS_OF_ALL, MOST_TEXT_BYTES, Reference};
use crate::check::files::has_scheme;
use crate::check::playlist;

/// What may still be listed of all Representations together.
pub(super) struct Budget {
    pub(super) segments: usize,
    pub(super) bytes: usize,
}

/// More is listed than is looked at; the sentence that says so.
pub(super) struct Spent(pub(super) String);

impl Budget {
    fn segments(&mut self, count: usize) -> Result<(), Spent> {
        let spent = || Spent(format!("only {MOST_SEGMENTS_OF_ALL} segments are looked at"));
        self.segments = self.segments.checked_sub(count).ok_or_else(spent)?;
        Ok(())
    }

    fn bytes(&mut self, count: usize) -> Result<(), Spent> {
        let spent = || Spent(format!("only {MOST_NAME_BYTES} bytes of names are looked at"));
        self.bytes = self.bytes.checked_sub(count).ok_or_else(spent)?;
        Ok(())
    }
}

/// Why the segments of a Representation are not known.
enum Unlisted {
    /// What is wrong with it.
    Wrong(String),
    /// There is too much of everything.
    Spent(Spent),
}

impl From<String> for Unlisted {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

impl From<&str> for Unlisted {
    fn from(what: &str) -> Self {
        Self::Wrong(what.to_owned())
    }
}

impl From<Spent> for Unlisted {
    fn from(spent: Spent) -> Self {
        Self::Spent(spent)
    }
}

/// The elements that a Representation inherits from.
pub(super) struct Levels<'a> {
    pub(super) mpd: &'a MPD,
    pub(super) period: &'a Period,
    pub(super) set: &'a AdaptationSet,
    pub(super) own: &'a Representation,
}

impl Levels<'_> {
    /// Takes from the budget what is kept for the Representation itself, and what has to be walked to list its segments.
    pub(super) fn fit(&self, budget: &mut Budget) -> Result<(), Spent> {
        if let Some(text) = self.texts().find(|text| text.len() > MOST_TEXT_BYTES) {
            return Err(Spent(format!("a text of {} bytes is not read", text.len())));
        }
        budget.bytes(self.texts().map(str::len).sum())?;
        budget.segments(1 + self.rows())
    }

    /// What names are made of, and what it inherits.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let Self { mpd, period, set, own } = self;
        let templates = [&own.SegmentTemplate, &set.SegmentTemplate, &period.SegmentTemplate].into_iter().flatten();
        let plain = [&period.id, &own.id, &own.codecs, &set.codecs, &own.mimeType, &set.mimeType];
        let plain = plain.into_iter().chain([&own.frameRate, &set.frameRate]).flatten();
        let urls = [&mpd.base_url, &period.BaseURL, &set.BaseURL, &own.BaseURL].into_iter().filter_map(|it| it.first());
        plain
            .chain(templates.flat_map(|template| [&template.media, &template.initialization]).flatten())
            .map(String::as_str)
            .chain(urls.map(|url| url.base.as_str()))
    }

    /// How many rows and URLs stand in the longest timeline or list of the levels.
    fn rows(&self) -> usize {
        let Self { period, set, own, .. } = self;
        let templates = [&own.SegmentTemplate, &set.SegmentTemplate, &period.SegmentTemplate].into_iter().flatten();
        let lists = [&own.SegmentList, &set.SegmentList, &period.SegmentList].into_iter().flatten();
        let timelines = templates
            .map(|template| &template.SegmentTimeline)
            .chain(lists.clone().map(|list| &list.SegmentTimeline))
            .flatten();
        let rows = timelines.map(|timeline| timeline.segments.len()).chain(lists.map(|list| list.segment_urls.len()));
        rows.max().unwrap_or(0)
    }

    /// The Representation, and what is wrong with it.
    pub(super) fn listed(&self, length: Option<f64>, budget: &mut Budget) -> Result<(Listed, Option<String>), Spent> {
        let (set, own) = (self.set, self.own);
        let template = self.template();
        let base = self.own.SegmentBase.as_ref().or(set.SegmentBase.as_ref()).or(self.period.SegmentBase.as_ref());
        let list = self.own.SegmentList.as_ref().or(set.SegmentList.as_ref()).or(self.period.SegmentList.as_ref());
        let timescale = [
            template.as_ref().and_then(|template| template.timescale),
            base.and_then(|base| base.timescale),
            list.and_then(|list| list.timescale),
        ];
        let frame_rate = own.frameRate.as_deref().or(set.frameRate.as_deref());
        let listed = Listed {
            name: own.id.clone().unwrap_or_else(|| "without id".to_owned()),
            aligned: set.segmentAlignment.unwrap_or(false),
            sap: own.startWithSAP.or(set.startWithSAP),
            bandwidth: own.bandwidth,
            codecs: own.codecs.clone().or_else(|| set.codecs.clone()),
            mime: own.mimeType.clone().or_else(|| set.mimeType.clone()),
            size: own.width.or(set.width).zip(own.height.or(set.height)),
            frame_rate: frame_rate.and_then(ratio),
            frame_rate_text: frame_rate.map(str::to_owned),
            sampling_rate: own
                .audioSamplingRate
                .as_deref()
                .or(set.audioSamplingRate.as_deref())
                .and_then(|rate| rate.parse().ok()),
            protected: !own.ContentProtection.is_empty() || !set.ContentProtection.is_empty(),
            timescale: timescale.into_iter().flatten().next().unwrap_or(1).max(1),
            offset: (template.as_ref().and_then(|template| template.presentationTimeOffset))
                .or(base.and_then(|base| base.presentationTimeOffset))
                .unwrap_or(0),
            ..Listed::default()
        };
        let url = self.url();
        let addressing = match (template, base, list) {
            (Some(template), ..) => self.by_template(&template, &url, (length, listed.timescale), budget),
            (_, Some(base), _) if base.indexRange.is_some() => {
                let init = base.Initialization.as_ref().and_then(|init| init.range.as_deref()).and_then(range);
                match base.indexRange.as_deref().and_then(range) {
                    Some(index) => Ok(Addressing::Indexed {
                        init: Reference { uri: url, range: init.or(Some((0, index.0.saturating_sub(1)))) },
                        index,
                    }),
                    None => Err("indexRange can't be read".into()),
                }
            }
            (.., Some(list)) => by_list(list, &url, (length, listed.timescale), budget),
            _ if url.is_empty() => Err("it names no segments".into()),
            _ => Ok(Addressing::Whole(Reference { uri: url, range: None })),
        };
        match addressing {
            Ok(addressing) => Ok((Listed { addressing, ..listed }, None)),
            Err(Unlisted::Wrong(problem)) => Ok((listed, Some(problem))),
            Err(Unlisted::Spent(spent)) => Err(spent),
        }
    }

    /// The SegmentTemplates of the levels, inner attributes over outer ones (23009-1 5.3.9.1).
    fn template(&self) -> Option<SegmentTemplate> {
        let levels = [&self.own.SegmentTemplate, &self.set.SegmentTemplate, &self.period.SegmentTemplate];
        levels.into_iter().flatten().cloned().reduce(|inner, outer| SegmentTemplate {
            media: inner.media.or(outer.media),
            initialization: inner.initialization.or(outer.initialization),
            startNumber: inner.startNumber.or(outer.startNumber),
            duration: inner.duration.or(outer.duration),
            timescale: inner.timescale.or(outer.timescale),
            presentationTimeOffset: inner.presentationTimeOffset.or(outer.presentationTimeOffset),
            SegmentTimeline: inner.SegmentTimeline.or(outer.SegmentTimeline),
            ..SegmentTemplate::default()
        })
    }

    /// The URL that names of segments are relative to.
    fn url(&self) -> String {
        let levels = [&self.mpd.base_url, &self.period.BaseURL, &self.set.BaseURL, &self.own.BaseURL];
        let first = |urls: &&Vec<BaseURL>| urls.first().map(|url| url.base.trim().to_owned());
        levels.iter().filter_map(first).fold(String::new(), |base, url| joined(&base, &url))
    }

    fn by_template(
        &self,
        template: &SegmentTemplate,
        base: &str,
        (length, timescale): (Option<f64>, u64),
        budget: &mut Budget,
    ) -> Result<Addressing, Unlisted> {
        let media = template.media.as_deref().ok_or("its SegmentTemplate has no media attribute")?;
        let times = match (&template.SegmentTimeline, template.duration) {
            (Some(timeline), _) => {
                by_timeline(timeline, length, timescale, template.presentationTimeOffset.unwrap_or(0))?
            }
            (None, Some(duration)) => by_duration(duration, length, timescale, None)?,
            (None, None) => return Err("its SegmentTemplate has neither SegmentTimeline nor duration".into()),
        };
        budget.segments(times.len().saturating_sub(self.rows()))?;
        let id = self.own.id.as_deref().unwrap_or_default();
        let bandwidth = self.own.bandwidth.unwrap_or(0);
        let mut name = |text: &str, number: u64, time: u64| {
            let uri = joined(base, &filled(text, id, bandwidth, number, time)?);
            budget.bytes(uri.len())?;
            Ok::<_, Unlisted>(Reference { uri, range: None })
        };
        let init = template.initialization.as_deref().map(|text| name(text, 0, 0)).transpose()?;
        let first = template.startNumber.unwrap_or(1);
        let segments = (0_u64..)
            .zip(times)
            .map(|(place, (start, ticks))| Ok((name(media, first.saturating_add(place), start)?, start, ticks)));
        let segments = segments.collect::<Result<_, Unlisted>>()?;
        Ok(Addressing::Segments { init, segments, exact: template.SegmentTimeline.is_some() })
    }
}

fn by_list(
    list: &SegmentList,
    base: &str,
    (length, timescale): (Option<f64>, u64),
    budget: &mut Budget,
) -> Result<Addressing, Unlisted> {
    let mut reference = |uri: Option<&str>, bytes: Option<&str>| {
        let uri = uri.map_or_else(|| base.to_owned(), |uri| joined(base, uri));
        budget.bytes(uri.len())?;
        Ok::<_, Spent>(Reference { uri, range: bytes.and_then(range) })
    };
    let init = list.Initialization.as_ref().map(|init| reference(init.sourceURL.as_deref(), init.range.as_deref()));
    let init = init.transpose()?;
    let urls = &list.segment_urls;
    let times = match (&list.SegmentTimeline, list.duration) {
        (Some(timeline), _) => by_timeline(timeline, length, timescale, 0)?,
        (None, Some(duration)) => by_duration(duration as f64, length, timescale, Some(urls.len()))?,
        (None, None) => vec![(0, (length.unwrap_or(0.0) * timescale as f64) as u64)],
    };
    if times.len() != urls.len() {
        return Err(format!("its SegmentList has {} URLs and {} times", urls.len(), times.len()).into());
    }
    let segments = urls
        .iter()
        .zip(times)
        .map(|(url, (start, ticks))| Ok((reference(url.media.as_deref(), url.mediaRange.as_deref())?, start, ticks)));
    let segments = segments.collect::<Result<_, Spent>>()?;
    Ok(Addressing::Segments { init, segments, exact: list.SegmentTimeline.is_some() })
}

/// Start and duration of each segment (23009-1 5.3.9.6).
fn by_timeline(
    timeline: &SegmentTimeline,
    length: Option<f64>,
    timescale: u64,
    offset: u64,
) -> Result<Vec<(u64, u64)>, String> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for (place, row) in timeline.segments.iter().enumerate() {
        let mut at = row.t.unwrap_or_else(|| found.last().map_or(0, |(start, ticks)| start.saturating_add(*ticks)));
        let count = match row.r.unwrap_or(0) {
            // Up to the next row or the end of the period.
            ..0 => {
                let end = timeline.segments.get(place + 1).and_then(|next| next.t);
                let end = end.or(length.map(|length| offset.saturating_add((length * timescale as f64) as u64)));
                let end = end.ok_or("a row of its SegmentTimeline has no end")?;
                if row.d == 0 { 0 } else { end.saturating_sub(at).div_ceil(row.d) }
            }
            more => more.unsigned_abs().saturating_add(1),
        };
        if count > (MOST_SEGMENTS - found.len()) as u64 {
            return Err(format!("it lists more than {MOST_SEGMENTS} segments"));
        }
        for _ in 0..count {
            found.push((at, row.d));
            at = at.saturating_add(row.d);
        }
    }
    Ok(found)
}

/// Nominal start and duration of each segment.
fn by_duration(
    duration: f64,
    length: Option<f64>,
    timescale: u64,
    count: Option<usize>,
) -> Result<Vec<(u64, u64)>, String> {
    let all = length.map(|length| (length * timescale as f64).round());
    if !duration.is_finite() || duration < 1.0 {
        return Err("the duration of its segments is no duration".to_owned());
    }
    let all = all.or(count.map(|count| count as f64 * duration)).ok_or("the duration of its period is not told")?;
    // A last segment of less than a thousandth is rounding.
    let count = count.map_or((all / duration - 1e-3).ceil().max(0.0), |count| count as f64);
    if count > MOST_SEGMENTS as f64 {
        return Err(format!("it lists more than {MOST_SEGMENTS} segments"));
    }
    let row = |place: usize| {
        let start = place as f64 * duration;
        (start as u64, duration.min(all - start).max(0.0) as u64)
    };
    Ok((0..count as usize).map(row).collect())
}

/// A name with its identifiers filled in (23009-1 table 16).
fn filled(text: &str, id: &str, bandwidth: u64, number: u64, time: u64) -> Result<String, String> {
    let wrong = || format!("`{}` is no template", playlist::short(text));
    let mut parts = text.split('$');
    let mut name = parts.next().unwrap_or_default().to_owned();
    while let Some(identifier) = parts.next() {
        let (which, width) = match identifier.split_once("%0") {
            Some((which, format)) => {
                let digits = format.strip_suffix('d').and_then(|digits| digits.parse().ok());
                (which, digits.filter(|width: &usize| *width <= 20).ok_or_else(wrong)?)
            }
            None => (identifier, 1),
        };
        match which {
            "" => name.push('$'),
            "RepresentationID" => name.push_str(id),
            "Number" => name.push_str(&format!("{number:0width$}")),
            "Time" => name.push_str(&format!("{time:0width$}")),
            "Bandwidth" => name.push_str(&format!("{bandwidth:0width$}")),
            _ => return Err(wrong()),
        }
        name.push_str(parts.next().ok_or_else(wrong)?);
    }
    Ok(name)
}

/// What `url` means at `base`, as far as that matters for names of files.
fn joined(base: &str, url: &str) -> String {
    if url.starts_with('/') || has_scheme(url) {
        return url.to_owned();
    }
    let folder = base.rfind('/').map_or("", |end| &base[..=end]);
    format!("{folder}{url}")
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.trim().split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

fn ratio(text: &str) -> Option<f64> {
    let (num, den) = text.split_once('/').unwrap_or((text, "1"));
    let rate = num.trim().parse::<f64>().ok()? / den.trim().parse::<f64>().ok()?;
    rate.is_finite().then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_with_odd_identifiers_are_refused() {
        assert_eq!(filled("a$$b$Time$", "x", 1, 2, 3).as_deref(), Ok("a$b3"));
        assert!(filled("$Number%099999999999d$", "x", 1, 2, 3).is_err());
        assert!(filled("$Number", "x", 1, 2, 3).is_err());
        assert!(filled("$Other$", "x", 1, 2, 3).is_err());
    }

    #[test]
    fn urls_are_joined_level_by_level() {
        assert_eq!(joined("./", "a/b.m4s"), "./a/b.m4s");
        assert_eq!(joined("x/y.mp4", "b"), "x/b");
        assert_eq!(joined("x/", "https://h/b"), "https://h/b");
        assert!(has_scheme("data:x") && !has_scheme("a/b:c"));
    }
}
