// dash.js behind the words that stage.js knows.
import { base64urls } from './keys.js';
import { stage } from './stage.js';

/* global dashjs */

class DashJs {
  constructor(video, report, { buffer, clear_keys }) {
    this.video = video;
    this.player = dashjs.MediaPlayer().create();
    this.player.updateSettings({
      debug: { logLevel: dashjs.Debug.LOG_LEVEL_WARNING },
      streaming: {
        abr: { autoSwitchBitrate: { audio: false, video: false } },
        buffer: {
          bufferTimeDefault: buffer,
          bufferTimeAtTopQuality: buffer,
          bufferTimeAtTopQualityLongForm: buffer,
          bufferToKeep: 3600,
        },
        text: { defaultEnabled: false },
      },
    });
    for (const event of [dashjs.MediaPlayer.events.ERROR, dashjs.MediaPlayer.events.PLAYBACK_ERROR]) {
      this.player.on(event, ({ error }) => report.error(`${event} ${error?.code}: ${error?.message}`));
    }
    if (clear_keys) {
      this.player.setProtectionData({ 'org.w3.clearkey': { clearkeys: Object.fromEntries(base64urls(clear_keys)) } });
    }
    this.player.initialize(video, undefined, false);
  }

  static version = dashjs.Version;

  async load(url) {
    const ready = new Promise((resolve) => this.player.on(dashjs.MediaPlayer.events.STREAM_INITIALIZED, resolve));
    this.player.attachSource(url);
    await ready;
  }

  renditions() {
    return this.player.getRepresentationsByType('video')
      .map(({ width, height, codecs }) => ({ width, height, codec: codecs }));
  }

  chooseRendition(place, smooth) {
    this.player.setRepresentationForTypeById('video', this.player.getRepresentationsByType('video')[place].id, !smooth);
  }

  audio() {
    return this.player.getTracksFor('audio').map(({ lang, labels }) => ({ language: lang, label: labels[0]?.text }));
  }

  chooseAudio(place) {
    this.player.setCurrentTrack(this.player.getTracksFor('audio')[place]);
  }

  texts() {
    return this.player.getTracksFor('text').map(({ lang, labels }) => ({ language: lang, label: labels[0]?.text }));
  }

  chooseText(place) {
    this.player.enableText(place !== null);
    this.player.setTextTrack(place ?? -1);
  }

  destroy() {
    this.player.destroy();
  }
}

stage(DashJs);
