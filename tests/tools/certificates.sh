# shellcheck shell=bash disable=SC2154
# Throwaway certificates in $dir, by openssl (in Debian's base). Sourced.

# authority NAME: a self-signed one, NAME.crt and NAME.key.
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
    -addext "keyUsage=critical,keyCertSign" -keyout "$dir/$1.key" -out "$dir/$1.crt" 2>/dev/null
}

# certify NAME AUTHORITY SUBJECT USAGE [ALTERNATIVE_NAMES]: NAME.crt and NAME.key, signed.
certify() {
  local extensions="extendedKeyUsage=$4"
  [ -z "${5:-}" ] || extensions+=$'\n'"subjectAltName=$5"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$3" -keyout "$dir/$1.key" 2>/dev/null |
    openssl x509 -req -days 2 -CA "$dir/$2.crt" -CAkey "$dir/$2.key" -extfile <(echo "$extensions") -out "$dir/$1.crt" 2>/dev/null
}
