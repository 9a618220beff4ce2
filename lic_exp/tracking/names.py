"""Every metric name, once: nowhere else is one spelled. Imports nothing, so that analysis can use it without torch."""


def train(term: str) -> str:
    """A term of the training loss, as criterion and objective call it: `train/loss`, `train/y_bpp`, ..."""
    return f"train/{term}"


def train_grad_norm(group: str) -> str:
    """A parameter group's gradient norm before clipping: `train/grad_norm` of the codec, `train/grad_norm_aux`, ..."""
    return TRAIN_GRAD_NORM if group == "net" else f"{TRAIN_GRAD_NORM}_{group}"


TRAIN_LOSS = train("loss")
TRAIN_BPP_LOSS = train("bpp_loss")
TRAIN_PSNR = train("psnr")
DISTORTION_PART = "distortion_part"
RATE_PART = "rate_part"
"""Terms of a criterion that balances them: lmbda D and R, which add up to R + lmbda D of the batch."""
DISTORTION_SHARE = "distortion_share"
"""Another: the share of the distortion's logarithm in its loss; the rest is the rate's."""
TRAIN_GRAD_NORM = "train/grad_norm"
TRAIN_LR = "train/lr"
TRAIN_IMAGES_PER_S = "train/images_per_s"
TRAIN_PIXEL_SHARE = "train/pixel_share"
"""What part of the pixels loaded so far was computed with; where it is not there, all of them."""
TRAIN_SKIPPED_STEPS = "train/skipped_steps"
TRAIN_DIVERGED = "train/diverged"
"""1 at the step at which a run has diverged; nowhere else."""

VALIDATION = "val/"
"""What names of validation begin with."""

VAL_RD_LOSS = "val/rd_loss"
VAL_BPP_LOSS = "val/bpp_loss"
VAL_MSE_LOSS = "val/mse_loss"
VAL_PSNR = "val/psnr"
VAL_MS_SSIM = "val/ms_ssim"
VAL_MS_SSIM_DB = "val/ms_ssim_db"
VAL_CODING_GAP = "val/coding_gap"
"""Real bits of the middle of the first image over its estimated ones, less 1, of codecs that learn quantiles."""


def val_latent_bpp(latent: str) -> str:
    """Estimated bits per pixel of one latent; they sum to `val/bpp_loss`."""
    return f"val/{latent}_bpp"


def at_quality(metric: str, quality: float) -> str:
    """A metric of one rate of a variable-rate codec: `val/rd_loss_q0`, `val/rd_loss_q12.6`, ..."""
    return f"{metric}_q{quality:g}"


SPECTRAL_TAU = "spectral/tau"
SPECTRAL_SIDE = "spectral/side"
"""What training sees of the crop's sides, a share."""
SPECTRAL_PHASE = "spectral/phase"
PHASES = {"baseline": 0, "phase1_intra": 1, "phase2_inter": 2}
"""The values of `spectral/phase`, since a metric is a number."""

INTER_DISTANCE = "spectral/inter_distance"
"""Sum over the pairs of scales of the bounded distance, unweighted."""
INTER_PREDICT = "spectral/inter_predict"
"""Sum over the pairs of scales of what the finer latent foretells of the coarser one, unweighted."""
INTER_WEIGHT = "spectral/inter_weight"
"""What the sum was multiplied with: sign, delta, ramp and gradient cap; 0 where the term is off."""
INTER_SHARE = "spectral/inter_share"
"""The weighted term over the loss without it."""
INTER_GRADIENT_RATIO = "spectral/inter_gradient_ratio"
"""|gradient of the term| / |gradient of the loss| at the latents before the cap, as last measured; 0 until then."""


def of_pair(total: str, pair: int) -> str:
    """What of a sum over pairs is the pair (l - 1, l)'s, l = 1 being the coarsest latent with the learned bias."""
    return f"{total}_{pair}"


def inter_distance(pair: int) -> str:
    """Distance of a pair: `spectral/inter_distance_2`, ..."""
    return of_pair(INTER_DISTANCE, pair)


def inter_predict(pair: int) -> str:
    """What the pair (l - 1, l)'s finer latent foretells of its coarser one: `spectral/inter_predict_2`, ..."""
    return of_pair(INTER_PREDICT, pair)


def inter_conv_norm(pair: int) -> str:
    """L2 norm of the weights that align the pair (l - 1, l)."""
    return f"spectral/inter_conv_norm_{pair}"


def latent_std(scale: int) -> str:
    """Standard deviation of latent l (1 is the coarsest) over all its elements, in the view that is compared."""
    return f"spectral/latent_std_{scale}"


def latent_mean_share(scale: int) -> str:
    """Part of latent l's energy in its channels' means, in [0, 1]."""
    return f"spectral/latent_mean_share_{scale}"


def latent_range(scale: int) -> str:
    """Largest minus smallest element of latent l."""
    return f"spectral/latent_range_{scale}"


def spectral_overlap(scale: int) -> str:
    """Overlap in [0, 1] of the spectra of latents l - 1 and l, l >= 2: 0 is disjoint frequencies, 1 the same ones."""
    return f"spectral/overlap_{scale}"


EVAL_BPP = "eval/bpp"
EVAL_BPP_ESTIMATED = "eval/bpp_estimated"
EVAL_PSNR = "eval/psnr"
EVAL_MS_SSIM = "eval/ms_ssim"
EVAL_MS_SSIM_DB = "eval/ms_ssim_db"


def eval_metric(name: str) -> str:
    """Of a metric of `lic_exp.picture_metrics`: eval/psnr_y, eval/my_package.my_module.my_function."""
    plain = name.replace("-", "_")
    return "eval/" + "".join(char if char in "_." or (char.isascii() and char.isalnum()) else "." for char in plain)
