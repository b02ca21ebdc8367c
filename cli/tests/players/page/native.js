// The browser's own player, for what it plays without help: the measure of its own noise.
import { stage } from './stage.js';

class Native {
  constructor(video) {
    this.video = video;
    video.crossOrigin = 'anonymous';
  }

  static version = /Chrome\/[\d.]+/.exec(navigator.userAgent)[0];

  async load(url) {
    this.video.src = url;
  }

  renditions() {
    return [{ width: this.video.videoWidth, height: this.video.videoHeight, codec: null }];
  }

  audio() {
    return [];
  }

  texts() {
    return [];
  }

  destroy() {
    this.video.removeAttribute('src');
  }
}

stage(Native);
