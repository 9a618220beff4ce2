"""One codec, one file, whose `CODEC` is what `analysis.measured.codec` describes; the file's name is the codec's."""
