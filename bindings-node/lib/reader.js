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
    waiting.resolve(waiting.iterates ? { done: false, value: item } : item);
  }

  /** Nothing more comes. What is there can still be taken; then an error is raised, or iteration ends. */
  finish(error = undefined) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const waiting of this.#waiting.splice(0)) {
      if (error !== undefined) waiting.reject(error);
      else waiting.resolve(waiting.iterates ? { done: true, value: undefined } : undefined);
    }
  }

  /** Takes everything that is there. */
  drain() {
    const rest = this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    return rest;
  }

  /** The next item; undefined when nothing more comes. */
  take() {
    return this.#next(false);
  }

  /** The next item as iteration gets it. */
  next() {
    return this.#next(true);
  }

  /** Where promises are followed (AsyncLocalStorage does so), each costs more than the rest of this: one is made for an item. */
  #next(iterates) {
    if (this.#head < this.#items.length) {
      const item = this.#items[this.#head];
      this.#items[this.#head] = undefined;
      this.#head += 1;
      if (this.#head === this.#items.length || this.#head >= 1024) {
        this.#items.splice(0, this.#head);
        this.#head = 0;
      }
      this.#onTake?.(item);
      return Promise.resolve(iterates ? { done: false, value: item } : item);
    }
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve(iterates ? { done: true, value: undefined } : undefined);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject, iterates }));
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
