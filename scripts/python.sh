# shellcheck shell=bash
# Clients out of Python packages, fetched once by pip into .x/tools: what tests run. Sourced by ./x.

imageio_ffmpeg_version=0.8.1

# Other stacks of TLS, HTTP and WebSocket, and all that they stand on: name==version.
python_clients='
aioquic==1.7.2
curl_cffi==0.16.3
h11==0.16.0
sslyze==6.3.1
websockets==17.4
annotated-types==0.8.0
attrs==26.1.0
certifi==2026.10.18
cffi==2.1.1
cryptography==46.0.7
nassl==5.4.0
pyasn1==0.6.5
pyasn1_modules==0.4.2
pycparser==3.12
pydantic==2.14.3
pydantic_core==2.50.4
pylsqpack==1.0.0
pyOpenSSL==26.2.0
service-identity==24.2.0
tls_parser==2.0.2
typing-inspection==0.4.5
typing_extensions==4.16.0
'

# The system's ffmpeg may be too old for Enhanced RTMP.
ensure_newer_ffmpeg() {
    if compgen -G ".x/tools/ffmpeg/imageio_ffmpeg/binaries/ffmpeg-*" >/dev/null; then return 0; fi
    say "Installing the ffmpeg of imageio-ffmpeg $imageio_ffmpeg_version into .x/tools (Enhanced RTMP)"
    fetch_by_pip .x/tools/ffmpeg "imageio-ffmpeg==$imageio_ffmpeg_version"
}

# The list itself is written last: its presence says that all of it is there.
ensure_python_clients() {
    local folder=.x/tools/python names
    if cmp -s "$folder/list" - <<<"$python_clients"; then return 0; fi
    say "Installing clients of TLS and HTTP into $folder"
    rm -rf "$folder"
    mapfile -t names < <(xargs -n1 <<<"$python_clients")
    fetch_by_pip "$folder" "${names[@]}"
    printf '%s\n' "$python_clients" >"$folder/list"
}

fetch_by_pip() {
    local folder=$1
    shift
    python3 -m pip install --quiet --no-deps --disable-pip-version-check --root-user-action=ignore \
        --target "$folder" "$@" || die "pip could not fetch $*."
}
