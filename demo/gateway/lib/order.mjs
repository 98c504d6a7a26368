// One order of a device, from its speech to the words of the kitchen.

import { Failure } from './failure.mjs';

/** How long the device may take to confirm an order. */
const CONFIRM_TIMEOUT_MS = 30_000;

/**
 * Makes the handler of the call `order`. The device sends its speech as binary chunks; it receives JSON objects: `partial`, as
 * often as the recogniser changes its mind, `order`, and each `word` of the kitchen, or `declined` if it did not confirm.
 */
export function takeOrder({ recogniser, kitchen }) {
  return async (call) => {
    const order = await transcribe(call, recogniser);
    await call.send({ order });
    if (!(await confirm(call, order))) {
      await call.send({ declined: order });
      return;
    }
    await kitchen.call('order', call.signal, async (dish) => {
      await dish.send(order, { last: true });
      for await (const word of dish) await call.send({ word: word.text });
    });
  };
}

/** Streams the device's speech through the recogniser and the text, as it grows, back to the device. */
function transcribe(call, recogniser) {
  return recogniser.call('transcribe', call.signal, async (speech) => {
    let problem;
    const sending = sendSpeech(call, speech).catch((error) => {
      problem = error;
      speech.cancel();
    });
    let text;
    try {
      for await (const message of speech) {
        const result = readResult(message);
        if (result.final) text = result.text;
        else await call.send({ partial: result.text });
      }
    } catch (error) {
      throw problem ?? error;
    }
    await sending;
    if (text === undefined) throw new Failure('BadReply', 'the recogniser ended without a final text');
    return text;
  });
}

async function sendSpeech(call, speech) {
  for await (const chunk of call) {
    // Why it is over is said where its text is read.
    if (speech.ended) return;
    if (!chunk.binary) throw new Failure('BadAudio', 'speech comes in binary messages');
    await speech.send(chunk.bytes);
  }
  if (!speech.ended) await speech.end();
}

function readResult(message) {
  let result;
  try {
    result = message.json();
  } catch {
    result = undefined;
  }
  if (typeof result?.text !== 'string' || typeof result.final !== 'boolean') {
    throw new Failure('BadReply', 'the recogniser answered something else than a text');
  }
  return result;
}

/** Asks the device back, in a call of our own on its connection. */
async function confirm(call, order) {
  const signal = AbortSignal.any([call.signal, AbortSignal.timeout(CONFIRM_TIMEOUT_MS)]);
  try {
    return await call.connection.call('confirm', { signal }, async (question) => {
      await question.send(`${order[0].toUpperCase()}${order.slice(1)}. Shall I order?`, { last: true });
      const reply = await question.recv();
      return reply?.text.trim().toLowerCase() === 'yes';
    });
  } catch (error) {
    throw new Failure('NotConfirmed', `the device did not confirm the order (${error.message})`, error);
  }
}
