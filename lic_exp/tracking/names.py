"""Every metric name, once. Imports nothing, so that analysis can use it without torch."""

TRAIN_LOSS = "train/loss"
TRAIN_BPP_LOSS = "train/bpp_loss"
TRAIN_MSE_LOSS = "train/mse_loss"
TRAIN_MS_SSIM_LOSS = "train/ms_ssim_loss"
TRAIN_PSNR = "train/psnr"
TRAIN_AUX_LOSS = "train/aux_loss"
TRAIN_LR = "train/lr"
TRAIN_GRAD_NORM = "train/grad_norm"
TRAIN_IMAGES_PER_S = "train/images_per_s"
TRAIN_SKIPPED_STEPS = "train/skipped_steps"


def train_latent_bpp(latent: str) -> str:
    """Estimated bits per pixel of one latent: `train/y_bpp`, `train/z_bpp`, ..."""
    return f"train/{latent}_bpp"


def train_penalty(regularizer: str) -> str:
    """A regularizer's weighted term in the training loss."""
    return f"train/{regularizer}_penalty"


def train_grad_norm(group: str) -> str:
    """Gradient norm of another parameter group than the codec's own: `train/grad_norm_aux`, `..._regularizer`."""
    return f"{TRAIN_GRAD_NORM}_{group}"


VAL_RD_LOSS = "val/rd_loss"
VAL_BPP_LOSS = "val/bpp_loss"
VAL_MSE_LOSS = "val/mse_loss"
VAL_PSNR = "val/psnr"
VAL_MS_SSIM = "val/ms_ssim"
VAL_MS_SSIM_DB = "val/ms_ssim_db"


def val_latent_bpp(latent: str) -> str:
    """Estimated bits per pixel of one latent; they sum to `val/bpp_loss`."""
    return f"val/{latent}_bpp"


def at_quality(metric: str, quality: float) -> str:
    """A metric of one rate of a variable-rate codec: `val/rd_loss_q0`, `val/rd_loss_q12.6`, ..."""
    return f"{metric}_q{quality:g}"


SPECTRAL_TAU = "spectral/tau"
SPECTRAL_PHASE = "spectral/phase"
PHASES = {"baseline": 0, "phase1_intra": 1, "phase2_inter": 2}
"""The values of `spectral/phase`, since a metric is a number."""

EVAL_BPP = "eval/bpp"
EVAL_BPP_ESTIMATED = "eval/bpp_estimated"
EVAL_PSNR = "eval/psnr"
EVAL_MS_SSIM = "eval/ms_ssim"
EVAL_MS_SSIM_DB = "eval/ms_ssim_db"
