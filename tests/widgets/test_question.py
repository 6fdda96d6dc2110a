"""A question: what it says to a choice, how it finds its answer, and how it fails."""

from __future__ import annotations

import ipywidgets
import pytest

from widgets import Question


def press(question: Question, name: str) -> str:
    """Click one of its buttons and return what it says."""
    buttons = [button for row in question.children if isinstance(row, ipywidgets.HBox) for button in row.children]
    next(button for button in buttons if button.description == name).click()
    return question.said


def test_one_choice_is_checked_and_given_away() -> None:
    question = Question("Which?", ["a", "b"], "b", "Because <so>.")
    assert "Choose first" in press(question, "Check")
    (control,) = (child for child in question.children if isinstance(child, ipywidgets.RadioButtons))
    control.value = "a"
    assert "Not so" in press(question, "Check")
    control.value = "b"
    assert "Right. Because &lt;so&gt;." in press(question, "Check")
    assert "b. Because" in press(question, "Show the answer")
    assert "b" in question.chosen


def test_all_that_is_right_is_to_be_ticked_and_nothing_else() -> None:
    question = Question("Which of them?", ["a", "b", "c"], ["a", "c"], many=True)
    boxes = {box.description: box for box in question.children if isinstance(box, ipywidgets.Checkbox)}
    boxes["a"].value = True
    assert "Not so" in press(question, "Check")
    boxes["c"].value = True
    assert "Right" in press(question, "Check")
    boxes["b"].value = True
    assert "Not so" in press(question, "Check")
    assert "a, c" in press(question, "Show the answer")
    assert "Right" in press(Question("None?", ["a"], [], many=True), "Check")


def test_an_answer_is_looked_for_when_it_is_asked_for_and_failing_is_said() -> None:
    calls: list[int] = []

    def find() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("the model is not open yet")
        return "op 3"

    question = Question("Which op?", [f"op {number}" for number in range(20)], find)
    assert calls == []
    said = press(question, "Show the answer")
    assert "role='alert'" in said and "the model is not open yet" in said
    assert "op 3" in press(question, "Show the answer")


def test_a_right_answer_that_cannot_be_chosen_is_refused() -> None:
    with pytest.raises(ValueError, match="'c' is none of the choices"):
        Question("Which?", ["a", "b"], "c")


def test_a_list_of_choices_has_a_name() -> None:
    """What has no name says nothing to a screen reader."""
    question = Question("Which op?", [f"op {number}" for number in range(20)], "op 3")
    (control,) = (child for child in question.children if isinstance(child, ipywidgets.Dropdown))
    assert control.description == "your answer"
