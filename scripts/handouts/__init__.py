"""The five handouts that come with the project, in the order in which they are reported."""

from handouts.exercise import EXERCISE
from handouts.notebook import NOTEBOOK
from handouts.practical import PRACTICAL
from handouts.problem_set import PROBLEM_SET
from handouts.slides import SLIDES

FIVE = (PRACTICAL, NOTEBOOK, SLIDES, PROBLEM_SET, EXERCISE)
