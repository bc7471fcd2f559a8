# shellcheck shell=bash
# The player's scripts: two npm packages, fetched once into .x/web and put into the program by
# src/control/build.rs. Sourced by ./x.

# name, version, file in the package, SHA-256 of it, licence
web_packages='
hls.js     1.7.4 dist/hls.min.js cfc70cc9e9fc63d071919e087670abc760c8fd1bc889b88588026e4d22193bbe LICENSE
mpegts.js  1.8.2 dist/mpegts.js  bda31748736a69cb610c2edf4623e633f1f4f47b5bda83668c8d287e51b0c3a8 LICENSE
'

# Without npm everything works but the player at /watch/, which says what it lacks.
ensure_web() {
    local name version file sum licence folder=.x/web fetched
    if web_is_there; then return 0; fi
    if ! command -v npm >/dev/null; then
        say "npm is not here: the player at /watch/ will be without its scripts (Node.js brings it)."
        return 0
    fi
    fetched=$(mktemp -d)
    say "Fetching the player's scripts by npm into $folder"
    while read -r name version file sum licence; do
        [ -n "$name" ] || continue
        if ! npm install --prefix "$fetched" --no-save --package-lock=false --ignore-scripts \
            --no-audit --no-fund --loglevel=error "$name@$version" >/dev/null; then
            rm -rf "$fetched"
            say "npm could not fetch $name: the player at /watch/ will be without its scripts."
            return 0
        fi
        printf '%s  %s\n' "$sum" "$fetched/node_modules/$name/$file" | sha256sum --quiet -c - ||
            die "$name $version is not what it was: $file has another checksum."
        mkdir -p "$folder"
        cp "$fetched/node_modules/$name/$licence" "$folder/$name.license"
        # Last: its presence says that all of the package is there.
        grep -v '^//# sourceMappingURL=' "$fetched/node_modules/$name/$file" >"$folder/$name"
    done <<<"$web_packages"
    rm -rf "$fetched"
    # The build looks once whether the folder is there.
    touch src/control/build.rs
}

web_is_there() {
    local name
    while read -r name _; do
        [ -z "$name" ] || [ -s ".x/web/$name" ] || return 1
    done <<<"$web_packages"
}

# What tests need of npm: another player, and another reader of MP4. Into .x/test-web; nothing of
# it comes into the program.
# name, version, file in the package, SHA-256 of it
test_packages='
shaka-player 5.2.12 dist/shaka-player.compiled.js b22dfdba631104c48a654cb623b08b0f79e2d52c83c0e9b4b7cff54730b55894
mp4box       2.4.1  dist/mp4box.all.cjs           fe5c6e926ba86f46469aa2b96389b32ecc7d1220f2b546400885fd04093bd80a
mp4box       2.4.1  dist/styp-CouZUj9h.cjs        c8201989e7f56c5d92f63d53007313b7e5e2588d73d4652276184304632d200f
'

# Without npm the tests that need them say so.
ensure_test_web() {
    local name version file sum folder=.x/test-web fetched names=()
    if test_web_is_there || ! command -v npm >/dev/null; then return 0; fi
    while read -r name version _; do
        [ -z "$name" ] || names+=("$name@$version")
    done <<<"$test_packages"
    fetched=$(mktemp -d)
    say "Fetching by npm into $folder what tests need"
    npm install --prefix "$fetched" --no-save --package-lock=false --ignore-scripts --no-audit \
        --no-fund --loglevel=error "${names[@]}" >/dev/null || die "npm could not fetch ${names[*]}."
    mkdir -p "$folder"
    while read -r name version file sum; do
        [ -n "$name" ] || continue
        file=$fetched/node_modules/$name/$file
        printf '%s  %s\n' "$sum" "$file" | sha256sum --quiet -c - ||
            die "$name $version is not what it was: ${file##*/} has another checksum."
        cp "$file" "$folder/"
    done <<<"$test_packages"
    rm -rf "$fetched"
}

test_web_is_there() {
    local name file
    while read -r name _ file _; do
        [ -z "$name" ] || [ -s ".x/test-web/${file##*/}" ] || return 1
    done <<<"$test_packages"
}
