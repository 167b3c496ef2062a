"""The kinds of runs that are stopped."""

_PLAIN = (
    *("--graph_export", "null", "--learning_curves", "null", "--progress", "null"),
    *("--trainer.logger.name", "x", "--best_parameters.every", "0"),
)
_LINE = ("--config", "linear_regression/split.yaml", "--data.source", "line")
_MANUAL = ("--model.manual_optimization", "true")
_CHUNKS = (*_MANUAL, "--data.chunk", "5")

#: where a run of these words is written, below the folder in which it is called
RUN = "logs/x/version_0"

#: the words of each kind of run
PROBLEMS: dict[str, tuple[str, ...]] = {
    "automatic": (*_LINE, "--trainer.max_epochs", "12"),
    "manual": (*_LINE, *_MANUAL, "--trainer.max_epochs", "12"),
    "chunked": (*_LINE, *_CHUNKS, "--trainer.max_epochs", "12"),
    "adam with a scheduler": (
        *(*_LINE, "--trainer.max_epochs", "12", "--model.optimizer", "torch.optim.Adam"),
        *("--model.lr_scheduler", "StepLR", "--model.lr_scheduler.step_size", "2"),
        *("--trainer.callbacks+=LearningRateMonitor", "--trainer.log_every_n_steps", "1"),
    ),
    "sweep in groups": (
        *("--config", "linear_regression/lr_momentum_sweep.yaml", "--data.source", "line"),
        *("--model.grid", "{lr: [0.01, 0.1], momentum: [0.0, 0.9]}", "--model.seeds", "[7, 8]"),
        *("--model.members_at_once", "3", "--trainer.max_epochs", "4"),
    ),
    "toy": ("--config", "toy/square.yaml", "--trajectory", "null", "--trainer.max_epochs", "8"),
    "compiled": (*_LINE, *_CHUNKS, "--model.compile", "true", "--trainer.max_epochs", "12"),
}
#: kinds that take much longer, and are drawn so much less often
RARE = {"compiled": 0.1}


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a fit of a kind."""
    return ("fit", *PROBLEMS[name], *_PLAIN)
