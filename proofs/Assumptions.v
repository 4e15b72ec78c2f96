(* What the theorems rest on. This file proves nothing: it gathers every theorem that a claim refers to, and prints the
   axioms behind all of them. The build holds what is printed against assumptions.txt. *)
From PathKernel Require Import FundamentalTheorem Euclidean Gradients Identity Kernel VectorOutputs GradientDescent
  Theorem1 FiniteSteps SingleExample Example Counterexamples.

Definition the_theorem :=
  (@theorem_1, @theorem_1_flow, @T1_identity, @T1a_ratio, @T1b_limit, @T1b_bound, @T1b_bound_at_horizon,
   @T1b_output_bound, @T1c_average, @T1c_at_examples, @T1i, @T1k_identity).

Definition steps_of_its_proof :=
  (@P3_chain_rule, @P5_chain_rule, @gradient_of_objective, @P6_exchange, @integral_of_derivative).

Definition definitions_and_remarks :=
  (@D6b, @D7_symmetric, @D8_symmetric, @R2a, @R3d, @R4a, @R5a, @S9a_flow, @S9a_no_rise).

Definition beyond_the_paper := (@E1, @E6, @E7, @SE).

Definition the_hypotheses_can_be_met := @hypotheses_can_be_met.

Definition counterexamples :=
  (@CE_A, @CE_A_no_average, @T1b_needs_tube, @T1b_needs_horizon, @R2b, @S11a).

Definition every_theorem :=
  (the_theorem, steps_of_its_proof, definitions_and_remarks, beyond_the_paper, the_hypotheses_can_be_met,
   counterexamples).

Print Assumptions every_theorem.
