// A PNG with at most 256 colours from one with any: base64 in, base64 out. Runs in the browser that took the picture.
async (base64) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const { width, height } = picture;
  const canvas = new OffscreenCanvas(width, height).getContext("2d");
  canvas.drawImage(picture, 0, 0);
  const pixels = new Uint32Array(canvas.getImageData(0, 0, width, height).data.buffer);
  const parts = (colour) => [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];

  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) || 0) + 1);
  const common = [...counts].sort((a, b) => b[1] - a[1]).map(([colour]) => colour);
  // The commonest stay exact. Of the rest, each that is far from all that were taken is taken, until there are 256.
  const chosen = common.slice(0, 128);
  const far = (colour, other) => parts(colour).reduce((sum, part, i) => sum + (part - parts(other)[i]) ** 2, 0);
  for (let least = 900; chosen.length < 256 && least > 3; least /= 3) {
    for (const colour of common.slice(128, 6000)) {
      if (chosen.length < 256 && chosen.every((other) => far(colour, other) >= least)) chosen.push(colour);
    }
  }
  const nearest = new Map(chosen.map((colour, at) => [colour, at]));
  const place = (colour) => {
    if (!nearest.has(colour)) nearest.set(colour, chosen.reduce((best, other, at) => (far(colour, other) < far(colour, chosen[best]) ? at : best), 0));
    return nearest.get(colour);
  };

  const rows = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) rows[y * (width + 1) + 1 + x] = place(pixels[y * width + x]);
  }
  const packed = new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate")));
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let code = byte;
    for (let bit = 0; bit < 8; bit += 1) code = code & 1 ? (code >>> 1) ^ 0xedb88320 : code >>> 1;
    return code;
  });
  const check = (data) => (data.reduce((code, byte) => table[(code ^ byte) & 255] ^ (code >>> 8), 0xffffffff) ^ 0xffffffff) >>> 0;
  const number = (value) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
  const chunk = (name, data) => {
    const named = Uint8Array.from([...name].map((letter) => letter.charCodeAt(0)).concat([...data]));
    return [number(data.length), named, number(check(named))];
  };
  const head = [...number(width), ...number(height), 8, 3, 0, 0, 0];
  const made = new Blob([
    [137, 80, 78, 71, 13, 10, 26, 10], ...chunk("IHDR", head), ...chunk("PLTE", chosen.flatMap(parts)),
    ...chunk("IDAT", new Uint8Array(await packed.arrayBuffer())), ...chunk("IEND", []),
  ].map((part) => Uint8Array.from(part)));
  const answer = new FileReader();
  answer.readAsDataURL(made);
  await new Promise((done) => { answer.onload = done; });
  return answer.result.split(",")[1];
}
