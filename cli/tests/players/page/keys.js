/** ClearKeys given in hexadecimal digits (`{ kid: key }`), as pairs in base64url (W3C Encrypted Media Extensions, 9.1). */
export function base64urls(keys) {
  return Object.entries(keys).map((pair) => pair.map(base64url));
}

function base64url(hex) {
  const bytes = hex.match(/../g).map((digits) => parseInt(digits, 16));
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
