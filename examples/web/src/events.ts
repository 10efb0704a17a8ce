/** Ends what it was given for; calling it again does nothing. */
export type Off = () => void;

/** Hands typed events to whom they interest. */
export class Emitter<Events> {
  #handlers = new Map<keyof Events, Set<(value: never) => void>>();

  /** Calls `handler` for each event of that name, until the returned function is called. */
  on<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): Off {
    // A function of its own, so that one handler can be there twice.
    const own = (value: Events[Name]): void => handler(value);
    const all = this.#handlers.get(name) ?? new Set();
    this.#handlers.set(name, all.add(own));
    return () => void all.delete(own);
  }

  /** Calls the handlers of an event, in the order they came. */
  protected emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) {
      guarded(() => (handler as (value: Events[Name]) => void)(value));
    }
  }
}

/** Runs the application's code: what it throws is reported as uncaught, and stops nothing here. */
export function guarded(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (typeof reportError === "function") reportError(error);
    else queueMicrotask(() => { throw error; });
  }
}
