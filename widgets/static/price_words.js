// What a predicted quality cost says, alone and beside the measured one. Pure.
import { isNumber, small, three } from "./numbers.js";

/** Beyond so many times the other, two costs are not "about the same", however wide a band is. */
const FAR = 2;
const ROUGH = "so large a cost is predicted only roughly";

/** Nats (or squared error) below which a cost is next to nothing, predicted right or not. */
export const NEGLIGIBLE = 1e-7;

const known = (price) => Boolean(price) && isNumber(price.cost);
const banded = (price) => isNumber(price.low) && isNumber(price.high);

/** "9 of 10 between 1.8e-4 and 3.1e-4", with a doubt where there is one; or why there is no prediction. */
export function bandWords(price) {
  if (!known(price)) return (price && price.words) || "no prediction";
  if (price.cost === 0) return "nothing changes";
  const band = banded(price) ? `9 of 10 between ${small(price.low)} and ${small(price.high)}` : "";
  return [band, price.valid ? "" : ROUGH].filter(Boolean).join(" \u00b7 ");
}

/** "15\u00d7 too low": how far a prediction was from what was then measured; empty where they are about the same. */
export function offWords(predicted, measured) {
  if (!(predicted > 0) || !(measured > 0)) return "";
  const ratio = measured / predicted;
  if (ratio >= FAR) return `${three(ratio)}\u00d7 too low`;
  return ratio <= 1 / FAR ? `${three(1 / ratio)}\u00d7 too high` : "";
}

/** Whether a measured cost lies in the band of its prediction. */
export function isInside(price, measured) {
  return banded(price) && price.low <= measured && measured <= price.high;
}

/** Whether both costs are next to nothing, so that it matters to nobody how far apart they are. */
export function isNegligible(price, measured) {
  return known(price) && price.cost < NEGLIGIBLE && measured < NEGLIGIBLE;
}

/** What was predicted, for beside the measured cost: "predicted 2.4e-4, inside its band". Nothing is judged of a part. */
export function besideWords(price, measured, whole) {
  if (!price) return "";
  if (!known(price)) return price.words ? `no prediction: ${price.words}` : "predicted: NaN or Inf";
  const said = `predicted ${small(price.cost)}`;
  if (whole && isNumber(measured) && isNegligible(price, measured)) return price.cost === 0 ? said : `${said}: both next to nothing`;
  if (!whole || !isNumber(measured)) return price.valid ? said : `${said}: ${ROUGH}`;
  const off = offWords(price.cost, measured);
  const told = off ? `${said}, ${off}` : said;
  if (!price.valid) return `${told}: ${ROUGH}`;
  if (!banded(price) || price.cost === 0) return told;
  const band = `band of ${small(price.low)} to ${small(price.high)}`;
  if (!isInside(price, measured)) return `${told}, outside its ${band}`;
  return off ? `${told}, but its ${band} was that wide` : `${told}, inside its band`;
}
