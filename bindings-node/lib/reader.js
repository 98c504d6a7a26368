/** A queue that is read by `next()` or by iteration. It bounds nothing itself: the core does, through `onTake`. */
class Reader {
  #items = [];
  #head = 0;
  #waiting = [];
  #ended = false;
  #error;
  #onTake;

  constructor(onTake = undefined) {
    this.#onTake = onTake;
  }

  /** Number of items that nobody has taken. */
  get length() {
    return this.#items.length - this.#head;
  }

  push(item) {
    if (this.#ended) return;
    const waiting = this.#waiting.shift();
    if (waiting === undefined) {
      this.#items.push(item);
      return;
    }
    this.#onTake?.(item);
    waiting.resolve({ done: false, value: item });
  }

  /** Nothing more comes. What is there can still be taken; then an error is raised, or iteration ends. */
  finish(error = undefined) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const waiting of this.#waiting.splice(0)) {
      if (error === undefined) waiting.resolve({ done: true, value: undefined });
      else waiting.reject(error);
    }
  }

  /** Takes everything that is there. */
  drain() {
    const rest = this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    return rest;
  }

  next() {
    if (this.#head < this.#items.length) {
      const item = this.#items[this.#head];
      this.#items[this.#head] = undefined;
      this.#head += 1;
      if (this.#head === this.#items.length || this.#head >= 1024) {
        this.#items.splice(0, this.#head);
        this.#head = 0;
      }
      this.#onTake?.(item);
      return Promise.resolve({ done: false, value: item });
    }
    if (this.#ended) {
      return this.#error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(this.#error);
    }
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Iterates over what comes. Leaving a loop early neither ends nor loses anything: the next loop goes on. */
  iterate() {
    return {
      next: () => this.next(),
      return: () => Promise.resolve({ done: true, value: undefined }),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}

module.exports = { Reader };
