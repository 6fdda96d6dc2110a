// Sending a file to the kernel in pieces, one after the other, so that no message is large and the bar tells the truth.

const AHEAD = 4;

/**
 * Sends `file` for `role` by `ask(type, fields, patient, buffers)`, a few pieces ahead of the answers; `told(have)` hears
 * how many bytes are there. Resolves with true when all are, with false once `stopped()`; rejects with a refusal.
 */
export async function sendFile(ask, role, file, told, stopped = () => false) {
  const { upload, chunk } = await ask("upload", { role, name: file.name, size: file.size });
  const sent = [];
  for (let at = 0; at < file.size || sent.length > 0;) {
    if (stopped()) return false;
    if (at < file.size && sent.length < AHEAD) {
      const bytes = await file.slice(at, at + chunk).arrayBuffer();
      const piece = ask("piece", { upload, at }, false, [bytes]);
      piece.catch(() => {}); // where an earlier one is refused, nobody waits for this one
      sent.push(piece);
      at += bytes.byteLength || file.size;
    } else {
      told((await sent.shift()).have);
    }
  }
  return true;
}
