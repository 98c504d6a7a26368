/** Why an order fails: its type is what the device is told, as the error type of its call. */
export class Failure extends Error {
  constructor(type, message, cause = undefined) {
    super(message, { cause });
    this.name = type;
  }
}
