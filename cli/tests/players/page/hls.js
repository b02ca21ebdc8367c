// hls.js behind the words that stage.js knows.
import { base64urls } from './keys.js';
import { stage } from './stage.js';

/* global Hls */

class HlsJs {
  constructor(video, report, { buffer, clear_keys }) {
    this.video = video;
    this.hls = new Hls({
      capLevelToPlayerSize: false,
      maxBufferLength: buffer,
      maxMaxBufferLength: buffer,
      ...clearKeys(clear_keys),
    });
    this.hls.on(Hls.Events.ERROR, (_, { type, details, fatal, reason, error }) => {
      const { INTERNAL_ABORTED, BUFFER_STALLED_ERROR } = Hls.ErrorDetails;
      // That it gave up loading what a seek made needless; that playing waits, which the video element tells itself. (Holes
      // that it has to jump over, and nudges, are errors of other names.)
      if (!fatal && [INTERNAL_ABORTED, BUFFER_STALLED_ERROR].includes(details)) return;
      report.error(`${fatal ? 'fatal ' : ''}${type} ${details}: ${reason ?? error?.message ?? ''}`);
    });
    this.hls.attachMedia(video);
  }

  static version = Hls.version;

  async load(url) {
    const parsed = new Promise((resolve) => this.hls.once(Hls.Events.MANIFEST_PARSED, resolve));
    this.hls.loadSource(url);
    await parsed;
    this.hls.currentLevel = this.hls.firstLevel; // choosing a level ends the choice by rate
  }

  /** Whether what plays still grows. */
  isGrowing() {
    return this.hls.levels.some(({ details }) => details?.live);
  }

  renditions() {
    return this.hls.levels.map(({ width, height, codecSet }) => ({ width, height, codec: codecSet }));
  }

  chooseRendition(place, smooth) {
    if (smooth) this.hls.nextLevel = place;
    else this.hls.currentLevel = place;
  }

  audio() {
    return this.hls.audioTracks.map(({ lang, name }) => ({ language: lang, label: name }));
  }

  chooseAudio(place) {
    this.hls.audioTrack = place;
  }

  texts() {
    return this.hls.subtitleTracks.map(({ lang, name }) => ({ language: lang, label: name }));
  }

  chooseText(place) {
    this.hls.subtitleDisplay = place !== null;
    this.hls.subtitleTrack = place ?? -1;
  }

  destroy() {
    this.hls.destroy();
  }
}

/** hls.js asks a licence server for ClearKey as for any other; here the answer comes without a server. */
function clearKeys(keys) {
  if (!keys) return {};
  const jwks = base64urls(keys).map(([kid, k]) => ({ kty: 'oct', kid, k }));
  const license = `data:application/json,${encodeURIComponent(JSON.stringify({ keys: jwks, type: 'temporary' }))}`;
  return { emeEnabled: true, drmSystems: { 'org.w3.clearkey': { licenseUrl: license } } };
}

stage(HlsJs);
