(* One example, and the query is that example: the path kernel is an integral over outputs, the same for every model.
        K(x_1, x_1) = integral from y_0 to y_T of dy / (- L'(y)),      a_1 = (y_T - y_0) / K(x_1, x_1)

   How: along the flow y' = - L'(y) K^g, so K^g dt = dy / (- L'(y)).
   That L' does not vanish along the path is a hypothesis here; it follows from H1 and L'(y_0) <> 0.

   Carries: SE. *)
From Coq Require Import Reals Lra Lia List.
From mathcomp Require Import ssreflect.
From Coquelicot Require Import Coquelicot.
From PathKernel Require Import FundamentalTheorem Euclidean Gradients Identity.
Open Scope R_scope.

Theorem SE (P : problem) (w : R -> Vec (dim P)) (T : R) :
  let x1 := example P O in
  let y t := output P (w t) x1 in
  let dl := loss_derivative P (target P O) in
  size P = 1%nat -> 0 <= T ->
  (forall t, 0 <= t <= T -> is_derive w t (opp (grad_loss P (w t)))) ->
  (forall t, 0 <= t <= T -> is_grad (fun v => output P v x1) (w t) (grad_output P (w t) x1)) ->
  (forall t, 0 <= t <= T -> continuous (fun s => tangent_kernel P (w s) x1 x1) t) ->
  (forall t, 0 <= t <= T -> continuous dl (y t)) ->
  (forall t, 0 <= t <= T -> dl (y t) <> 0) ->
  path_kernel P w T x1 x1 = RInt (fun u => / - dl u) (y 0) (y T) /\
  (path_kernel P w T x1 x1 <> 0 -> weight P w T x1 O = (y T - y 0) / path_kernel P w T x1 x1).
Proof.
intros x1 y dl Hsize HT Hflow Hd HKc Hdlc Hdl.
assert (Hy : forall t, 0 <= t <= T -> is_derive y t (- (dl (y t) * tangent_kernel P (w t) x1 x1))).
{ intros t Ht.
  replace (- (dl (y t) * tangent_kernel P (w t) x1 x1)) with (dot (grad_output P (w t) x1) (opp (grad_loss P (w t)))).
  - apply (P3_chain_rule (fun v => output P v x1)); auto.
  - rewrite dot_opp_r. unfold grad_loss. rewrite Hsize dot_vsum_r /= dot_scal_r. fold x1.
    unfold dloss, tangent_kernel. fold x1. fold dl. unfold y. ring. }
assert (Hyc : forall t, 0 <= t <= T -> continuous y t).
{ intros t Ht. apply (ex_derive_continuous (K := R_AbsRing) (V := R_NormedModule)). eexists; now apply Hy. }
assert (HNc : forall t, 0 <= t <= T -> continuous (fun t => dl (y t) * tangent_kernel P (w t) x1 x1) t).
{ intros t Ht. apply (continuous_mult (fun t => dl (y t)) (fun t => tangent_kernel P (w t) x1 x1)); [|now apply HKc].
  apply continuous_comp; auto. }
split.
- (* substitution y = y(t) *)
  apply RInt_value.
  apply is_RInt_ext with
    (fun t => scal (- (dl (y t) * tangent_kernel P (w t) x1 x1)) (/ - dl (y t)) : R).
  + rewrite Rmin_left ?Rmax_right //. intros t Ht. unfold scal; simpl; unfold mult; simpl.
    in_R. field. apply Hdl; lra.
  + apply (@is_RInt_comp R_CompleteNormedModule (fun u => / - dl u) y).
    * rewrite Rmin_left ?Rmax_right //. intros t Ht.
      apply (continuous_comp (fun u => - dl u) (fun z => / z)).
      { apply (@continuous_opp R_UniformSpace R_AbsRing R_NormedModule). now apply Hdlc. }
      { apply continuous_Rinv. pose proof (Hdl t Ht). lra. }
    * rewrite Rmin_left ?Rmax_right //. intros t Ht. split; [now apply Hy|].
      apply (@continuous_opp R_UniformSpace R_AbsRing R_NormedModule). now apply HNc.
- (* y_T - y_0 = - N, and a_1 = - N / K *)
  intros HK. unfold weight. fold x1.
  assert (E : y T - y 0 = - loss_weighted_kernel P w T x1 O).
  { assert (HI : is_RInt (fun t => - (dl (y t) * tangent_kernel P (w t) x1 x1)) 0 T (y T - y 0)).
    { apply (@is_RInt_derive R_CompleteNormedModule y).
      - rewrite Rmin_left ?Rmax_right //.
      - rewrite Rmin_left ?Rmax_right //. intros t Ht.
        apply (@continuous_opp R_UniformSpace R_AbsRing R_NormedModule). now apply HNc. }
    rewrite -(RInt_value _ _ _ _ HI). unfold loss_weighted_kernel, dloss. fold x1; fold dl.
    rewrite (RInt_ext _ (fun t => -1 * (dl (y t) * tangent_kernel P (w t) x1 x1))).
    - rewrite RInt_scal_l; [unfold y; ring|].
      apply ex_RInt_cont. rewrite Rmin_left ?Rmax_right //.
    - intros t _. in_R; ring. }
  rewrite E. field. exact HK.
Qed.
