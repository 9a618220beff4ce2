"""AV1 intra by libaom: 4:4:4 of 10 bits, a still picture, tuned for PSNR."""

from analysis.measured.ffmpeg import FFmpegCodec

RANK = 2018

CODEC = FFmpegCodec(
    name="av1",
    codec="av1",
    encoder="libaom-av1",
    format="obu",
    qualities=(56, 48, 39, 31, 23, 17),
    options=lambda crf: [
        *("-usage", "allintra", "-still-picture", "1", "-cpu-used", "4", "-tune", "psnr", "-aq-mode", "none"),
        *("-row-mt", "0", "-b:v", "0", "-crf", f"{crf:g}"),
    ],
)
