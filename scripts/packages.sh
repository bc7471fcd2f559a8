# shellcheck shell=bash
# Every package that ./x may install, in one place. Sourced by ./x.
#
# One row per need: who needs it, what must be there (a command, several of which one is enough, or
# a file, whose path may have wildcards), the Debian and Ubuntu package that brings it, and why.
packages='
build  cc                                      build-essential  links the program, compiles C parts
build  /etc/ssl/certs/ca-certificates.crt      ca-certificates  lets cargo fetch crates
build  curl                                    curl             asks the server whether it is up
build  cmake                                   cmake            builds the ciphers of QUIC
build  git                                     git              sets up their sources
build  /usr/lib/llvm-*/lib/libclang.so         libclang-dev     reads their headers
demo   ffmpeg                                  ffmpeg           plays the demo station
bench  icecast2                                icecast2         the peer that runs side by side
bench  nginx|/usr/sbin/nginx                   nginx            the peer that serves segments
bench  caddy                                   caddy            the peer that speaks HTTP/3
judge  nginx|/usr/sbin/nginx                   nginx            a reader of HTTP/1
judge  caddy                                   caddy            another one
judge  node                                    nodejs           another one
judge  pip|pip3                                python3-pip      fetches another one
judge  python3                                 python3          asks them all
suite  jq                                      jq               reads what a suite found
test   git                                     git              tells which files are ours
test   jq                                      jq               reads JSON answers
test   shellcheck                              shellcheck       checks the shell scripts
test   ffmpeg                                  ffmpeg           source and listener
test   ffprobe                                 ffmpeg           says what is in a stream
test   shout                                   libshout-tools   source (libshout)
test   liquidsoap                              liquidsoap       source in every format
test   ezstream                                ezstream         source of files
test   ices2                                   ices2            source of Ogg files
test   mpd                                     mpd              source that plays music
test   butt                                    butt             source with a window
test   Xvfb                                    xvfb             a screen for butt
test   pulseaudio                              pulseaudio       a sound card for butt and Firefox
test   /usr/lib/*/alsa-lib/*_pcm_pulse.so      libasound2-plugins  lets butt hear it
test   gst-launch-1.0                          gstreamer1.0-tools  source and listener
test   /usr/lib/*/gstreamer-1.0/libgstogg.so   gstreamer1.0-plugins-base  Ogg for it
test   /usr/lib/*/gstreamer-1.0/libgstsoup.so  gstreamer1.0-plugins-good  HTTP and Icecast for it
test   /usr/lib/*/gstreamer-1.0/libgstflv.so   gstreamer1.0-plugins-good  FLV for it
test   gst-play-1.0                            gstreamer1.0-plugins-base-apps  player of HLS
test   /usr/lib/*/gstreamer-1.0/libgstadaptivedemux2.so  gstreamer1.0-plugins-good  HLS for it
test   /usr/lib/*/gstreamer-1.0/libgstmpegtsdemux.so  gstreamer1.0-plugins-bad  transport streams for it
test   /usr/lib/*/gstreamer-1.0/libgstlibav.so  gstreamer1.0-libav  decodes H.264 and AAC for it
test   /usr/lib/*/gstreamer-1.0/libgstrtmp2.so  gstreamer1.0-plugins-bad  RTMP and H.264 for it
test   obs                                     obs-studio       publisher of video with a window
test   /usr/lib/*/obs-plugins/obs-outputs.so   obs-plugins      RTMP and codecs for it
test   /usr/lib/*/dri/swrast_dri.so            libgl1-mesa-dri  draws for it without a card
test   node                                    nodejs           runs another reader of MP4
test   npm                                     npm              fetches it, and players for browsers
test   pip|pip3                                python3-pip      fetches a newer ffmpeg
test   python3                                 python3          runs scripts of clients
test   openssl                                 openssl          client of TLS
test   slowhttptest                            slowhttptest     client that takes its time
test   rtmpdump                                rtmpdump         player of RTMP
test   mpv                                     mpv              listener
test   mplayer                                 mplayer          listener
test   vlc                                     vlc-bin          listener
test   /usr/lib/*/vlc/plugins/*/libhttp_*.so   vlc-plugin-base  HTTP and codecs for it
test   streamripper                            streamripper     listener that splits on titles
test   chromium|chromium-browser|google-chrome chromium         listener in a browser
test   firefox-esr|firefox                     firefox-esr      listener in another browser
test   pebble                                  pebble           gives certificates by ACME
test   /usr/lib/*/faketime/libfaketimeMT.so.1  libfaketime      moves the clock of a server
test   promtool                                prometheus       checks /metrics
test   icecast2                                icecast2         the peer that answers are compared with
'

# Prints "package<TAB>why" for every need of the named groups that is not met.
missing_packages() {
    local group need package why
    while read -r group need package why; do
        case " $* " in *" ${group:-none} "*) ;; *) continue ;; esac
        is_there "$need" || printf '%s\t%s\n' "$package" "$why"
    done <<<"$packages" | sort -u -t$'\t' -k1,1
}

is_there() {
    local names name
    case $1 in /*) compgen -G "$1" >/dev/null; return ;; esac
    IFS='|' read -ra names <<<"$1"
    for name in "${names[@]}"; do
        if command -v "$name" >/dev/null; then return 0; fi
    done
    return 1
}

# Installs what the named groups need and is not there. Asks once, and only at a terminal.
ensure_packages() {
    local missing names as_root=() package why answer
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0

    say "Packages that are missing here:"
    while IFS=$'\t' read -r package why; do
        printf '  %-26s %s\n' "$package" "$why"
    done <<<"$missing"
    mapfile -t names < <(cut -f1 <<<"$missing")

    command -v apt-get >/dev/null ||
        die "This is no Debian or Ubuntu machine: please install them yourself, then try again."
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            die "Neither root nor sudo here. As root: apt-get install ${names[*]}"
        as_root=(sudo -n)
    fi
    if [ -t 0 ] && [ -t 1 ]; then
        [ "${#as_root[@]}" = 0 ] || as_root=(sudo)
        read -r -p "Install them with apt-get now? [Y/n] " answer
        case $answer in [nN]*) die "Nothing was installed." ;; esac
    fi
    install_packages "${names[@]}"
    missing=$(missing_packages "$@" | cut -f1 | xargs)
    [ -z "$missing" ] || die "Installed, but still not to be found: what $missing should bring."
}

# Some of the packages are services that would start at once, on our port even. They are here to
# be run by tests, so none is started and none is left enabled.
install_packages() {
    local policy=/usr/sbin/policy-rc.d ours=no rc=0 package
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
        ours=yes
    fi
    say "Installing: $*"
    { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends -y "$@" >/dev/null; } ||
        rc=$?
    [ "$ours" = no ] || "${as_root[@]}" rm -f "$policy"
    [ "$rc" = 0 ] || die "apt-get could not install them (see above)."
    [ -d /run/systemd/system ] || return 0
    for package in "$@"; do
        case $package in
        caddy | icecast2 | prometheus)
            "${as_root[@]}" systemctl disable --quiet "$package" || true
            ;;
        mpd) "${as_root[@]}" systemctl disable --quiet mpd.socket mpd.service || true ;;
        esac
    done
}
