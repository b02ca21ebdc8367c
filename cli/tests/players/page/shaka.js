// Shaka Player behind the words that stage.js knows.
import { stage } from './stage.js';

/* global shaka */

class Shaka {
  constructor(video, report, { buffer, clear_keys }) {
    shaka.polyfill.installAll();
    this.video = video;
    this.player = new shaka.Player();
    this.player.configure({
      abr: { enabled: false },
      streaming: { bufferingGoal: buffer, bufferBehind: 3600 },
      drm: { clearKeys: clear_keys ?? {} },
    });
    this.player.addEventListener('error', ({ detail }) =>
      report.error(`category ${detail.category}, code ${detail.code}, severity ${detail.severity}: ${detail.message}`));
  }

  static version = shaka.Player.version;

  async load(url) {
    await this.player.attach(this.video);
    await this.player.load(url);
  }

  /** Whether what plays still grows. */
  isGrowing() {
    return this.player.isDynamic();
  }

  renditions() {
    return this.player.getVideoTracks().map(({ width, height, codecs }) => ({ width, height, codec: codecs }));
  }

  chooseRendition(place, smooth) {
    this.player.selectVideoTrack(this.player.getVideoTracks()[place], !smooth);
  }

  audio() {
    return this.player.getAudioTracks().map(({ language, label }) => ({ language, label }));
  }

  chooseAudio(place) {
    this.player.selectAudioTrack(this.player.getAudioTracks()[place]);
  }

  texts() {
    return this.player.getTextTracks().map(({ language, label }) => ({ language, label }));
  }

  chooseText(place) {
    this.player.selectTextTrack(place === null ? null : this.player.getTextTracks()[place]);
  }

  async destroy() {
    await this.player.destroy();
  }
}

stage(Shaka);
