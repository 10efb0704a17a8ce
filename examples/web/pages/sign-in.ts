/** The dialog that asks who somebody is, when the server wants to know. */
import { by, text } from "./dom";

/** Asks for a name and a password; `again` says why the ones before did not do. */
export function signIn(again: string): Promise<{ user: string; password: string }> {
  const dialog = by<HTMLDialogElement>("sign-in");
  const form = dialog.querySelector("form")!;
  text(by("sign-in-why"), again);
  dialog.showModal();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      const data = new FormData(form);
      dialog.close();
      resolve({ user: String(data.get("user")), password: String(data.get("password")) });
    };
  });
}
