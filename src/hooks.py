"""The hooks that Lightning calls at every update, of a module and of each callback."""

#: within an update
UPDATE_HOOKS = (
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)

#: within it and around it
STEP_HOOKS = ("on_train_batch_start", "on_train_batch_end", *UPDATE_HOOKS)
