"""Rewards: from grades to the one number per rollout that training uses. Shaping lives here, after the grade."""

import graders as _graders

if not hasattr(_graders, "Grade"):
    raise ImportError(
        f"'import graders' found {_graders.__file__}, not Assay's package. "
        "Rename that file, or run your script from another folder."
    )

from rewards.reward import LengthCharge, RewardSpec, SoftLimit, rewards_of

__all__ = ["LengthCharge", "RewardSpec", "SoftLimit", "rewards_of"]
