(* Theorem 1, as the paper states it: gradient descent, in the limit of vanishing learning rate, ends in
        y = sum over i of a_i(x) K(x, x_i), plus b(x).
   [theorem_1] is the whole statement; every hypothesis stands in it, with the id by which the registry knows it.
   The words are those of Identity.v ([problem], [path_kernel], [weight]) and of GradientDescent.v ([descent], [steps]).

   What the paper leaves out, and a proof cannot: the fixed horizon (H5), the flow's existence (H2), the tube (H1), and
   H3. Each is needed: see Counterexamples.v. And what the statement does not say: a_i(x) and b(x) depend on x.

   Carries: T1, T1a and T1b together. *)
From Coq Require Import Reals Lra Lia List.
From mathcomp Require Import ssreflect.
From Coquelicot Require Import Coquelicot.
From PathKernel Require Import FundamentalTheorem Euclidean Gradients Identity GradientDescent.
Open Scope R_scope.

(* Along a flow on the closed interval, of a model that is differentiable everywhere. *)
Theorem theorem_1_flow (P : problem) (w : R -> Vec (dim P)) (T : R) (x : Input P) :
  0 < T ->
  (forall v z, is_grad (fun u => output P u z) v (grad_output P v z)) ->                       (* H0 *)
  (forall y u, is_derive (loss P y) u (loss_derivative P y u)) ->                              (* H0 *)
  (forall t, 0 <= t <= T -> is_derive w t (opp (grad_loss P (w t)))) ->                        (* H2 *)
  (forall i, (i < size P)%nat ->
     ex_RInt (fun t => dloss P (w t) i * tangent_kernel P (w t) x (example P i)) 0 T) ->       (* H0 *)
  (forall i, (i < size P)%nat -> path_kernel P w T x (example P i) <> 0) ->                    (* H3 *)
  output P (w T) x
    = sum (size P) (fun i => weight P w T x i * path_kernel P w T x (example P i)) + output P (w 0) x.
Proof.
intros HT Hf Hl Hflow Hint H3.
assert (Hd : forall v, differentiable_at P x v) by (intros v; split; [apply Hf|intros i _; split; [apply Hf|apply Hl]]).
apply T1a_ratio; [|intros i Hi E; now destruct (H3 i Hi)].
apply (T1_identity P w (fun t => grad_loss P (w t)) T x); auto; [lra| | |].
- intros t Ht; apply Hflow; lra.
- intros t _. apply (gradient_of_loss P x), Hd.
- apply continuous_continuous_on; intros t Ht.
  apply (continuous_comp w (fun v => output P v x)).
  + apply (ex_derive_continuous w). eexists; now apply Hflow.
  + exact (is_grad_continuous _ _ _ (Hf (w t) x)).
Qed.

Theorem theorem_1 (P : problem) (w : R -> Vec (dim P)) (T M Lam rho : R) (x : Input P) :
  0 < T ->                                                                                     (* H5 *)
  (forall v z, is_grad (fun u => output P u z) v (grad_output P v z)) ->                       (* H0 *)
  (forall y u, is_derive (loss P y) u (loss_derivative P y u)) ->                              (* H0 *)
  (forall t, 0 <= t <= T -> is_derive w t (opp (grad_loss P (w t)))) ->                        (* H2 *)
  (forall t, 0 <= t <= T -> norm (grad_loss P (w t)) <= M) ->                                  (* H1 *)
  0 <= Lam -> 0 < rho ->
  (forall t v, 0 <= t <= T -> norm (minus v (w t)) <= rho ->
     norm (minus (grad_loss P v) (grad_loss P (w t))) <= Lam * norm (minus v (w t))) ->        (* H1 *)
  (forall i, (i < size P)%nat ->
     ex_RInt (fun t => dloss P (w t) i * tangent_kernel P (w t) x (example P i)) 0 T) ->       (* H0 *)
  (forall i, (i < size P)%nat -> path_kernel P w T x (example P i) <> 0) ->                    (* H3 *)
  filterlim
    (fun eps => output P (descent (grad_loss P) eps (w 0) (steps T eps)) x)
    (at_right 0)
    (locally (sum (size P) (fun i => weight P w T x i * path_kernel P w T x (example P i)) + output P (w 0) x)).
Proof.
intros HT Hf Hl Hflow Hspeed HLam Hrho Htube Hint H3.
rewrite -(theorem_1_flow P w T x HT Hf Hl Hflow Hint H3).
apply (filterlim_comp _ _ _ _ (fun v => output P v x) _ (locally (w T))).
- exact (T1b_limit (grad_loss P) w T M Lam rho HT Hflow Hspeed HLam Hrho Htube).
- exact (is_grad_continuous (fun v => output P v x) _ _ (Hf (w T) x)).
Qed.

(* How far the output is from that limit at a finite learning rate, if the output at x is Lipschitz around the end. *)
Theorem T1b_output_bound (P : problem) (w : R -> Vec (dim P)) (T M Lam rho F : R) (x : Input P) (eps : R) :
  0 < T ->
  (forall t, 0 <= t <= T -> is_derive w t (opp (grad_loss P (w t)))) ->
  (forall t, 0 <= t <= T -> norm (grad_loss P (w t)) <= M) ->
  0 <= Lam -> 0 < rho ->
  (forall t v, 0 <= t <= T -> norm (minus v (w t)) <= rho ->
     norm (minus (grad_loss P v) (grad_loss P (w t))) <= Lam * norm (minus v (w t))) ->
  0 <= F ->
  (forall v, norm (minus v (w T)) <= 2 * rho -> Rabs (output P v x - output P (w T) x) <= F * norm (minus v (w T))) ->
  0 < eps -> M * eps <= rho -> eps * M / 2 * (exp (Lam * T) - 1) <= rho ->
  Rabs (output P (descent (grad_loss P) eps (w 0) (steps T eps)) x - output P (w T) x)
    <= F * (eps * M / 2 * (exp (Lam * T) - 1) + M * eps).
Proof.
intros HT Hflow Hspeed HLam Hrho Htube HF Hlip He Hr1 Hr2.
assert (B := T1b_bound_at_horizon (grad_loss P) w T M Lam rho HT Hflow Hspeed HLam Htube eps (steps T eps)
               He (steps_reach T HT eps He) Hr1 Hr2).
unfold error_bound in B.
assert (Hin : eps * M / 2 * (exp (Lam * T) - 1) + M * eps <= 2 * rho) by lra.
apply Rle_trans with (1 := Hlip _ (Rle_trans _ _ _ B Hin)). now apply Rmult_le_compat_l.
Qed.
