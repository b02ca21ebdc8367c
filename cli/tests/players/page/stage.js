// What is done with a player, step by step, and what is seen and heard of it. Judges nothing.
//
// Clips may carry the number of each picture: twelve boxes along the lower edge, a white one, ten bits (the lowest
// first), a black one. So what is on show is known from the picture itself.
import { Ear } from './ear.js';

const PATIENCE_MS = 20_000;
const BOXES = 12;

/** Makes `Player` available to the driver as `window.stage`. */
export function stage(Player) {
  window.stage = new Stage(Player);
}

class Stage {
  #Player;
  #player;
  #video = document.getElementById('video');
  #status = document.getElementById('status');
  #canvas = new OffscreenCanvas(BOXES * 4, 4).getContext('2d', { willReadFrequently: true });
  #ear;
  /** What the player and the video complained of. */
  #errors = [];
  /** Each picture shown: its time in the media, its number, its width. */
  #frames = [];
  /** How often playing had to wait for data. */
  #waits = 0;
  #step = 0;

  constructor(Player) {
    this.#Player = Player;
  }

  /** Does one step. What came of it has the state after it, and `failure` where it did not come about. */
  async perform(step) {
    this.#step += 1;
    this.#frames = [];
    const waits = this.#waits;
    const begun = performance.now();
    const result = { step: this.#step, ...step };
    try {
      Object.assign(result, await this[step.do](step));
    } catch (error) {
      result.failure = String(error?.message ?? error);
    }
    const video = this.#video;
    const quality = video.getVideoPlaybackQuality();
    this.#status.textContent = [
      `${document.title} ${this.#Player.version}`,
      `${video.videoWidth}x${video.videoHeight}`,
      `${video.currentTime.toFixed(3)} of ${video.duration.toFixed(3)} s`,
      `picture ${this.#number()}`,
      `${quality.droppedVideoFrames} of ${quality.totalVideoFrames} pictures dropped`,
      `${this.#errors.length} errors`,
    ].join('  ·  ');
    return {
      ...result,
      wall_s: (performance.now() - begun) / 1000,
      time: video.currentTime,
      duration: video.duration,
      ended: video.ended,
      buffered: ranges(video),
      width: video.videoWidth,
      height: video.videoHeight,
      frames: this.#frames,
      waits: this.#waits - waits,
      total_frames: quality.totalVideoFrames,
      dropped_frames: quality.droppedVideoFrames,
      errors: this.#errors.splice(0),
    };
  }

  /** Loads a manifest; tells what it offers. With `autoplay` it begins to play as soon as it can, and is paused then. */
  async load({ url, buffer = 4, clear_keys, autoplay = false }) {
    const video = this.#video;
    const report = { error: (text) => this.#errors.push(text) };
    video.addEventListener('error', () => report.error(`video: ${video.error?.code} ${video.error?.message}`));
    video.addEventListener('waiting', () => { if (!video.seeking) this.#waits += 1; });
    this.#watch();
    this.#player = new this.#Player(video, report, { buffer, clear_keys });
    await this.#player.load(url);
    if (autoplay) await this.#within('playing', video.play());
    await this.#until('the first picture', () => video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA);
    if (autoplay) video.pause();
    return {
      version: this.#Player.version,
      growing: this.#player.isGrowing?.() ?? false,
      renditions: this.#player.renditions(),
      audio: this.#player.audio(),
      texts: this.#player.texts(),
    };
  }

  /** Plays to a time, or without one to the end, and pauses there; waits for so many seconds more than it should take. */
  async play({ to = Infinity, rate = 1, patience_s = PATIENCE_MS / 1000 }) {
    const video = this.#video;
    video.playbackRate = rate;
    await video.play();
    let [moved, longest] = [performance.now(), 0];
    let time = video.currentTime;
    const patience = patience_s * 1000 + ((Math.min(to, video.duration) - time) / rate) * 1000;
    await this.#until(`${to} s`, () => {
      if (video.currentTime !== time) [moved, time] = [performance.now(), video.currentTime];
      longest = Math.max(longest, performance.now() - moved);
      return video.ended || time >= to;
    }, patience);
    video.pause();
    return { longest_stand_s: longest / 1000 };
  }

  /**
   * Seeks while paused; tells the number of the picture that is shown then, its time, and whether it had been loaded
   * before. Where less than half a second more is loaded, plays until it is.
   */
  async seek({ to }) {
    const video = this.#video;
    const loaded = ranges(video).some(([start, end]) => start <= to && to < end);
    const seeked = new Promise((resolve) => video.addEventListener('seeked', resolve, { once: true }));
    video.currentTime = to;
    await this.#within('the seek', seeked);
    await this.#until('a picture after the seek', () => this.#frames.length > 0);
    await this.#settled();
    const [number, at] = [this.#number(), this.#frames.at(-1)[0]];
    const enough = Math.min(to + 0.5, video.duration - 0.1);
    const goesOn = () => ranges(video).some(([start, end]) => start <= to && end >= enough);
    // A paused dash.js may not load on after a seek, whoever made the stream.
    if (!(await this.#comes(goesOn, 3000))) {
      await video.play();
      await this.#until('loading on', goesOn);
      video.pause();
    }
    return { number, at, loaded };
  }

  /**
   * Chooses a rendition, by its place or `another` than the one on show, while playing: at once, or `smooth`, where the
   * buffer ends. Plays on for half a second.
   */
  async rendition({ place, smooth = false }) {
    const video = this.#video;
    const renditions = this.#player.renditions();
    const chosen = place === 'another' ? renditions.findIndex(({ height }) => height !== video.videoHeight) : place;
    const { width, height } = renditions[chosen];
    await video.play();
    this.#player.chooseRendition(chosen, smooth);
    await this.#until(`${width}x${height}`, () => video.videoWidth === width && video.videoHeight === height);
    await this.#further(0.5);
    video.pause();
    return { due: { width, height } };
  }

  /**
   * Chooses an audio track while playing; tells the pitch that is heard once it is the one that is due, or, where none
   * is, once anything is heard.
   */
  async audio({ place, hz }) {
    this.#ear ??= new Ear(this.#video);
    await this.#video.play();
    this.#player.chooseAudio(place);
    try {
      const due = (pitch) => (hz === undefined ? pitch > 0 : Math.abs(pitch / hz - 1) < 0.03);
      await this.#until(`${hz ?? 'any'} Hz`, () => due(this.#ear.pitch()));
      await this.#further(0.5);
    } finally {
      this.#video.pause();
    }
    return { heard_hz: this.#ear.pitch() };
  }

  /** Chooses a subtitle track (`null` for none), plays on to a time, and tells which texts were shown when. */
  async text({ place, to }) {
    const video = this.#video;
    this.#player.chooseText(place);
    const seen = new Map();
    await video.play();
    await this.#until(`${to} s`, () => {
      const active = [...video.textTracks].filter(({ mode }) => mode === 'showing')
        .flatMap(({ activeCues }) => [...(activeCues ?? [])]);
      for (const { text } of active) {
        const span = seen.get(text) ?? [video.currentTime, video.currentTime];
        seen.set(text, [span[0], video.currentTime]);
      }
      return video.ended || video.currentTime >= to;
    }, PATIENCE_MS + to * 1000);
    video.pause();
    return { seen: [...seen].map(([text, [from, until]]) => ({ text, from, until })) };
  }

  /** Notes every picture that is shown. */
  #watch() {
    const note = (_, { mediaTime, width }) => {
      this.#frames.push([mediaTime, this.#number(), width]);
      this.#video.requestVideoFrameCallback(note);
    };
    this.#video.requestVideoFrameCallback(note);
  }

  /** The number of the picture that is shown; null where it cannot be read. */
  #number() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    if (width === 0) return null;
    this.#canvas.drawImage(this.#video, 0, (height * 11) / 12, width, height / 12, 0, 0, BOXES * 4, 4);
    const { data } = this.#canvas.getImageData(0, 0, BOXES * 4, 4);
    const lit = Array.from({ length: BOXES }, (_, box) => data[(2 * BOXES * 4 + box * 4 + 2) * 4]);
    if (lit[0] < 160 || lit[BOXES - 1] > 90) return null;
    return lit.slice(1, -1).reduce((number, light, bit) => number + (light > 125 ? 2 ** bit : 0), 0);
  }

  async #further(seconds) {
    const from = this.#video.currentTime;
    await this.#until(`${seconds} s more`, () => this.#video.currentTime >= from + seconds || this.#video.ended);
  }

  /** Waits until no new picture has come for a tenth of a second. */
  async #settled() {
    let shown;
    do {
      shown = this.#frames.length;
      await sleep(100);
    } while (this.#frames.length !== shown);
  }

  async #until(what, holds, patience = PATIENCE_MS) {
    if (!(await this.#comes(holds, patience))) throw new Error(`${what}: not within ${Math.round(patience / 1000)} s`);
  }

  /** Whether it holds before so many milliseconds have passed. */
  async #comes(holds, patience) {
    const late = performance.now() + patience;
    while (!holds()) {
      if (performance.now() > late) return false;
      await sleep(20);
    }
    return true;
  }

  async #within(what, promise) {
    const late = sleep(PATIENCE_MS).then(() => { throw new Error(`${what}: not within ${PATIENCE_MS / 1000} s`); });
    await Promise.race([promise, late]);
  }
}

function ranges({ buffered }) {
  return Array.from({ length: buffered.length }, (_, i) => [buffered.start(i), buffered.end(i)]);
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
