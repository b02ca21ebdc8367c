/** Hears what a video plays. The sound goes on to the speakers as before. */
export class Ear {
  #analyser;
  #bins;

  constructor(video) {
    const context = new AudioContext();
    this.#analyser = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
    this.#bins = new Float32Array(this.#analyser.frequencyBinCount);
    context.createMediaElementSource(video).connect(this.#analyser).connect(context.destination);
  }

  /** The loudest frequency, in Hz; 0 in silence. */
  pitch() {
    this.#analyser.getFloatFrequencyData(this.#bins);
    const loudest = this.#bins.reduce((best, level, bin) => (level > this.#bins[best] ? bin : best), 0);
    const level = this.#bins[loudest];
    return level < -80 ? 0 : (loudest * this.#analyser.context.sampleRate) / this.#analyser.fftSize;
  }
}
