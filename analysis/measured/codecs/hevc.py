"""HEVC intra by x265: 4:4:4 of 10 bits, constant QP, tuned for PSNR, one slice, no text inside."""

from analysis.measured.ffmpeg import FFmpegCodec

RANK = 2013

CODEC = FFmpegCodec(
    name="hevc",
    codec="hevc",
    encoder="libx265",
    format="hevc",
    qualities=(42, 38, 34, 30, 26, 23),
    options=lambda qp: [
        *("-preset", "placebo", "-tune", "psnr", "-x265-params"),
        f"qp={qp:g}:ipratio=1:keyint=1:info=0:wpp=0:pools=1:frame-threads=1:log-level=none",
    ],
)
