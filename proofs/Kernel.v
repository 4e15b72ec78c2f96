(* The path kernel is a kernel: symmetric and positive semidefinite; and when a_i is an average.

   Carries: D6b, D7 and D8 (symmetry), T1c. *)
From Coq Require Import Reals Lra Lia List.
From mathcomp Require Import ssreflect.
From Coquelicot Require Import Coquelicot.
From PathKernel Require Import FundamentalTheorem Euclidean Gradients Identity.
Open Scope R_scope.

Theorem D7_symmetric (P : problem) (v : Vec (dim P)) (x x' : Input P) :
  tangent_kernel P v x x' = tangent_kernel P v x' x.
Proof. apply dot_sym. Qed.

Theorem D8_symmetric (P : problem) (w : R -> Vec (dim P)) (T : R) (x x' : Input P) :
  path_kernel P w T x x' = path_kernel P w T x' x.
Proof. apply RInt_ext; intros; apply D7_symmetric. Qed.

(* The quadratic form is the integral of a squared length. *)
Theorem D6b (P : problem) (w : R -> Vec (dim P)) (T : R) (k : nat) (z : nat -> Input P) (c : nat -> R) :
  0 <= T ->
  (forall i j, (i < k)%nat -> (j < k)%nat -> ex_RInt (fun t => tangent_kernel P (w t) (z i) (z j)) 0 T) ->
  0 <= sum k (fun i => sum k (fun j => c i * c j * path_kernel P w T (z i) (z j))).
Proof.
intros HT Hint.
set (u := fun t => vsum k (fun i => scal (c i) (grad_output P (w t) (z i)))).
assert (H : is_RInt (fun t => sum k (fun i => sum k (fun j => c i * c j * tangent_kernel P (w t) (z i) (z j)))) 0 T
              (sum k (fun i => sum k (fun j => c i * c j * path_kernel P w T (z i) (z j))))).
{ apply is_RInt_sum; intros i Hi; apply is_RInt_sum; intros j Hj.
  apply (@is_RInt_scal R_NormedModule), is_RInt_RInt, Hint; assumption. }
apply (is_RInt_ge_0 _ 0 T _ HT H). intros t _.
replace (sum k (fun i => sum k (fun j => c i * c j * tangent_kernel P (w t) (z i) (z j)))) with (dot (u t) (u t)).
- apply dot_pos.
- unfold u at 1. rewrite dot_vsum. apply sum_ext; intros i _.
  rewrite dot_scal_l. unfold u. rewrite dot_vsum_r -sum_scal_l.
  apply sum_ext; intros j _. rewrite dot_scal_r. unfold tangent_kernel. in_R; ring.
Qed.

(* ---------------------------------------------------------------- averages *)

(* An average of l with weights k >= 0 lies between the bounds of l. *)
Lemma weighted_average (l k : R -> R) T lo hi :
  0 <= T -> (forall t, 0 < t < T -> 0 <= k t) -> (forall t, 0 < t < T -> lo <= l t <= hi) ->
  ex_RInt k 0 T -> ex_RInt (fun t => l t * k t) 0 T -> RInt k 0 T <> 0 ->
  lo <= RInt (fun t => l t * k t) 0 T / RInt k 0 T <= hi.
Proof.
intros HT Hk Hl I1 I2 NZ.
assert (P : 0 < RInt k 0 T).
{ destruct (Rle_lt_or_eq_dec 0 (RInt k 0 T)) as [H|H]; [now apply RInt_ge_0|exact H|congruence]. }
split.
- apply Rle_div_r; [exact P|]. rewrite -RInt_scal_l; [|exact I1].
  apply RInt_le; auto; [now apply ex_RInt_scal_l|].
  intros t Ht. apply Rmult_le_compat_r; [now apply Hk|apply Hl, Ht].
- apply Rle_div_l; [exact P|]. rewrite -RInt_scal_l; [|exact I1].
  apply RInt_le; auto; [now apply ex_RInt_scal_l|].
  intros t Ht. apply Rmult_le_compat_r; [now apply Hk|apply Hl, Ht].
Qed.

(* Under H3 and H4 the weight a_i(x) lies between the bounds of - L'_i. H4 is written as a sign s, 1 or -1. *)
Theorem T1c_average (P : problem) (w : R -> Vec (dim P)) (T : R) (x : Input P) (i : nat) (s lo hi : R) :
  0 <= T ->
  s = 1 \/ s = -1 ->
  (forall t, 0 < t < T -> 0 <= s * tangent_kernel P (w t) x (example P i)) ->                  (* H4 *)
  (forall t, 0 < t < T -> lo <= - dloss P (w t) i <= hi) ->
  ex_RInt (fun t => tangent_kernel P (w t) x (example P i)) 0 T ->
  ex_RInt (fun t => dloss P (w t) i * tangent_kernel P (w t) x (example P i)) 0 T ->
  path_kernel P w T x (example P i) <> 0 ->                                                    (* H3 *)
  lo <= weight P w T x i <= hi.
Proof.
intros HT Hs H4 Hl I1 I2 H3.
assert (E1 : RInt (fun t => s * tangent_kernel P (w t) x (example P i)) 0 T
             = s * path_kernel P w T x (example P i)) by now apply RInt_scal_l.
assert (E : forall t, (- dloss P (w t) i) * (s * tangent_kernel P (w t) x (example P i))
              = (- s) * (dloss P (w t) i * tangent_kernel P (w t) x (example P i))) by (intros; ring).
assert (E2 : RInt (fun t => (- dloss P (w t) i) * (s * tangent_kernel P (w t) x (example P i))) 0 T
             = (- s) * loss_weighted_kernel P w T x i).
{ rewrite (RInt_ext _ (fun t => (- s) * (dloss P (w t) i * tangent_kernel P (w t) x (example P i))));
    [now apply RInt_scal_l|intros; apply E]. }
replace (weight P w T x i) with
  (RInt (fun t => (- dloss P (w t) i) * (s * tangent_kernel P (w t) x (example P i))) 0 T
   / RInt (fun t => s * tangent_kernel P (w t) x (example P i)) 0 T).
- apply weighted_average; auto.
  + now apply ex_RInt_scal_l.
  + apply ex_RInt_ext with (fun t => (- s) * (dloss P (w t) i * tangent_kernel P (w t) x (example P i)));
      [intros; symmetry; apply E|now apply ex_RInt_scal_l].
  + rewrite E1. destruct Hs; subst s; lra.
- rewrite E1 E2. unfold weight. destruct Hs; subst s; field; exact H3.
Qed.

(* At the examples themselves H4 holds of itself. *)
Theorem T1c_at_examples (P : problem) (v : Vec (dim P)) (x : Input P) : 0 <= tangent_kernel P v x x.
Proof. apply dot_pos. Qed.
